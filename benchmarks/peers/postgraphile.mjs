// PostGraphile 5 as somebody who knows it runs it: its Amber preset over the schema of postgraphile.py, Grafserv on Node's
// own HTTP server, a pool with the settings that the others have. It keeps plans and prepared statements as it comes.
// Joins are by key as with the gateway's own roles: left to itself, PostgreSQL merges 300 authorities to each subject.
import { createServer } from 'node:http'
import pg from 'pg'
import { postgraphile } from 'postgraphile'
import { listOfCodec, TYPES } from 'postgraphile/@dataplan/pg'
import { makePgService } from 'postgraphile/adaptors/pg'
import { grafserv } from 'postgraphile/grafserv/node'
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber'
import { addPgTableCondition } from 'postgraphile/utils'

const pool = new pg.Pool({
  max: 10,
  idleTimeoutMillis: 0,
  options: '-c plan_cache_mode=force_generic_plan -c jit=off -c max_parallel_workers_per_gather=0' +
    ' -c enable_mergejoin=off -c enable_hashjoin=off'
})

// Its own conditions are equalities. These are added to the WHERE of requests that give them, and of no others.
const TEXTS = listOfCodec(TYPES.text)
const list = ({ GraphQLList, GraphQLNonNull, GraphQLString }) => new GraphQLList(new GraphQLNonNull(GraphQLString))
const single = ({ GraphQLString }) => GraphQLString
const conditions = [
  ['kindIn', list, TEXTS, (sql, r, value) => sql`${r}.kind = any (${value})`],
  ['areaIn', list, TEXTS, (sql, r, value) => sql`${r}.area = any (${value})`],
  ['decidedFrom', single, TYPES.date, (sql, r, value) => sql`${r}.decided_on >= ${value}`],
  ['decidedTo', single, TYPES.date, (sql, r, value) => sql`${r}.decided_on <= ${value}`],
  ['regionCode', single, TYPES.text, (sql, r, value) => sql`exists (select from core.subject s where s.id = ${r}.subject_id
    and s.region_code = any (array (select c.code from core.region_closure c where c.ancestor = ${value})))`]
].map(([name, type, codec, make]) => addPgTableCondition({ schemaName: 'peers', tableName: 'record' }, name,
  ({ graphql }) => ({ type: type(graphql) }),
  (value, { sql, sqlTableAlias, sqlValueWithCodec }) => make(sql, sqlTableAlias, sqlValueWithCodec(value, codec))))

const instance = postgraphile({
  extends: [PostGraphileAmberPreset],
  plugins: conditions,
  pgServices: [makePgService({ pool, schemas: ['peers'] })],
  schema: { defaultBehavior: '-insert -update -delete' },
  grafserv: { graphqlPath: '/graphql', graphiql: false, watch: false, websockets: false, outputDataAsString: true },
  grafast: { explain: false }
})
const server = createServer()
await instance.createServ(grafserv).addTo(server)
server.listen({ host: '127.0.0.1', port: 0 }, () => console.log(server.address().port))
process.on('SIGTERM', () => process.exit(0))
