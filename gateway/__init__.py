"""The credit gateway: GraphQL in, one SQL statement, bytes out; every answer authorized and accounted for."""
