"""Methods, paths and query strings; and the token endpoint, whose errors are those of OAuth."""

from __future__ import annotations

import json
from urllib.parse import urlencode

from tests.bad_input.cases import INPUT, JSON_BODY, Case, Known, Make, Sent, http

_FORM = ("content-type", "application/x-www-form-urlencoded")


def _graphql(query: str, view: str = "") -> Make:
    return http("GET", f"/graphql{query}", view=view)


def _token(content_type: str = _FORM[1], **form: str) -> Make:
    """A request for a token by a client that authenticates with its secret."""

    def make(known: Known) -> Sent:
        given = {"client_id": "secretive", "client_secret": known.tokens["secret"]}
        given |= {"grant_type": "client_credentials"} | form
        body = urlencode({name: value for name, value in given.items() if value})
        return Sent(body.encode(), (("content-type", content_type),), "POST", "/oauth/token")

    return make


def _details(**detail: object) -> Make:
    made = {"type": "credit_purpose", "matter": "GRANT", "case_number": "1"} | detail
    return _token(scope="view:restricted", authorization_details=json.dumps([made]))


def _twice(known: Known) -> Sent:
    sent = _token()(known)
    return Sent((sent.body or b"") + b"&scope=a&scope=b", sent.headers, sent.method, sent.path)


CASES: tuple[Case, ...] = (
    Case("put", "PUT", "PUT 方法", http("PUT", "/graphql", JSON_BODY, body=b"{}"), INPUT, 405),
    Case("delete", "DELETE", "DELETE 方法", http("DELETE", "/graphql"), INPUT, 405),
    Case("head", "HEAD", "HEAD 方法", http("HEAD", "/graphql"), "", 405),
    Case("get-above-public", "GET with a token", "带令牌的 GET",
         _graphql("?query=%7B__typename%7D", "restricted"), INPUT, 405),
    Case("get-viewer", "GET of the viewer", "以 GET 查询 viewer",
         _graphql("?query=%7Bviewer%7Bview%7D%7D"), INPUT, 405),
    Case("get-nothing", "GET without a query", "GET 缺少 query", _graphql(""), INPUT),
    Case("get-twice", "a parameter twice", "参数重复", _graphql("?query=%7Ba%7D&query=%7Bb%7D"), INPUT),
    Case("get-bytes", "a query string that is not UTF-8", "查询字符串不是 UTF-8", _graphql("?query=%FF%FE"), INPUT),
    Case("get-many", "a query string of 50 parameters", "50 个参数的查询字符串",
         _graphql("?" + "&".join(f"a{n}=1" for n in range(50))), INPUT),
    Case("get-variables", "variables that are not JSON", "variables 不是 JSON",
         _graphql("?query=%7B__typename%7D&variables=%7B"), INPUT),
    Case("get-variables-list", "variables that are a list", "variables 为数组",
         _graphql("?query=%7B__typename%7D&variables=%5B%5D"), INPUT),
    Case("no-such-path", "a path that does not exist", "路径不存在", http("GET", "/graphq"), INPUT, 404),
    Case("trailing-slash", "a slash too much", "多余的斜线",
         http("POST", "/graphql/", JSON_BODY, body=b"{}"), INPUT, 404),
    Case("unknown-view", "the contract of a view that does not exist", "不存在的视图的契约",
         http("GET", "/schema/unknown.graphql"), INPUT, 404),
    Case("schema-post", "POST where only GET is", "只支持 GET 的路径使用 POST",
         http("POST", "/schema/public.graphql"), INPUT, 405),
    Case("token-get", "GET of the token endpoint", "以 GET 请求令牌端点",
         http("GET", "/oauth/token"), "invalid_request", 405),
    Case("token-json", "JSON at the token endpoint", "令牌端点的 JSON 正文",
         _token("application/json"), "invalid_request"),
    Case("token-parameter-twice", "a parameter twice", "参数重复", _twice, "invalid_request"),
    Case("token-nobody", "no client authentication", "没有客户端认证",
         _token(client_id="", client_secret=""), "invalid_client", 401),
    Case("token-secret", "a wrong secret", "密钥错误", _token(client_secret="wrong"), "invalid_client", 401),
    Case("token-grant", "another grant", "其他授权类型", _token(grant_type="password"), "unsupported_grant_type"),
    Case("token-no-grant", "no grant", "缺少授权类型", _token(grant_type=""), "invalid_request"),
    Case("token-unknown-view", "a view that does not exist", "不存在的视图",
         _token(scope="view:secret"), "invalid_scope"),
    Case("token-higher-view", "a view above the registration", "超出登记范围的视图",
         _token(scope="view:internal"), "invalid_scope"),
    Case("details-no-json", "authorization_details that are not JSON", "authorization_details 不是 JSON",
         _token(scope="view:restricted", authorization_details="{"), "invalid_authorization_details"),
    Case("details-type", "another type of authorization_details", "其他类型的 authorization_details",
         _details(type="payment"), "invalid_authorization_details"),
    Case("details-matter", "a matter that the client is not registered for", "客户端未登记的事项",
         _details(matter="APPOINTMENT"), "invalid_authorization_details"),
    Case("details-subjects", "max_subjects: 0", "max_subjects 为 0",
         _details(max_subjects=0), "invalid_authorization_details"),
)  # fmt: skip
