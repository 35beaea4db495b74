"""Headers: who asks and what for. `bare` is a token without a purpose, `restricted` one with matter and case."""

from __future__ import annotations

from tests.bad_input.cases import INPUT, JSON_BODY, MATTER, PURPOSE, WHO, Case, Make, Sent, ask

_Q = "{ viewer { view } }"


def _with(*headers: tuple[str, str], view: str = "") -> Make:
    return ask(_Q, view, headers)


def _purpose(text: str, view: str = "bare") -> Make:
    return ask(_Q, view, (("credit-purpose", text),))


def _token(name: str) -> Make:
    """One of the tokens that do not hold."""
    return ask(_Q, name)


def _accept(text: str) -> Make:
    return lambda _: Sent(b'{"query":"{ __typename }"}', (JSON_BODY, ("accept", text)))


CASES: tuple[Case, ...] = (
    Case("purpose-without-token", "a purpose, but no token: never answered as the public",
         "有用途但没有令牌：不按公众处理",
         _with(("credit-purpose", 'matter="GRANT", case="1"')), WHO, 401),
    Case("token-empty", "an empty Authorization", "Authorization 为空", _with(("authorization", "")), WHO, 401),
    Case("token-garbage", "something that is no token", "不是令牌的内容",
         _with(("authorization", "Bearer x.y.z")), WHO, 401),
    Case("token-scheme", "another scheme than Bearer", "认证方式不是 Bearer",
         _with(("authorization", "Basic dXNlcjpwYXNz")), WHO, 401),
    Case("token-two-words", "two tokens in one header", "一个请求头中两个令牌",
         _with(("authorization", "Bearer a b")), WHO, 401),
    Case("token-none", "a token that nobody signed (alg none)", "未签名的令牌（alg none）",
         _token("unsigned"), WHO, 401),
    Case("token-expired", "an expired token", "过期的令牌", _token("expired"), WHO, 401),
    Case("token-early", "a token that is not valid yet", "尚未生效的令牌", _token("early"), WHO, 401),
    Case("token-audience", "a token for another audience", "面向其他系统的令牌", _token("audience"), WHO, 401),
    Case("token-issuer", "a token of another issuer", "其他签发方的令牌", _token("issuer"), WHO, 401),
    Case("token-altered", "a token that was changed", "被改动的令牌", _token("altered"), WHO, 401),
    Case("token-twice", "Authorization twice", "Authorization 重复",
         _with(("authorization", "Bearer a"), ("authorization", "Bearer b")), INPUT),
    Case("purpose-missing", "no purpose above the public view", "公开视图以外未说明用途",
         _with(view="bare"), PURPOSE, 403),
    Case("purpose-empty", "an empty Credit-Purpose", "Credit-Purpose 为空", _purpose(""), INPUT),
    Case("purpose-text", "Credit-Purpose that is no dictionary", "Credit-Purpose 不是字典",
         _purpose("GRANT 2026-1"), INPUT),
    Case("purpose-no-case", "a purpose without a case number", "用途缺少案号", _purpose('matter="GRANT"'), INPUT),
    Case("purpose-token", "the matter without quotes", "事项未加引号", _purpose('matter=GRANT, case="1"'), INPUT),
    Case("purpose-small", "the matter in small letters", "事项为小写", _purpose('matter="grant", case="1"'), INPUT),
    Case("purpose-blank-case", "a blank case number", "案号为空白", _purpose('matter="GRANT", case=" "'), INPUT),
    Case("purpose-raw-chinese", "a case number in raw UTF-8", "案号直接使用 UTF-8 字节",
         _purpose('matter="GRANT", case="博州1号"'), INPUT),
    Case("purpose-key-twice", "the matter twice", "事项重复",
         _purpose('matter="GRANT", matter="TENDERING", case="1"'), INPUT),
    Case("purpose-more", "more than matter and case", "除事项和案号外还有其他成员",
         _purpose('matter="GRANT", case="1", reason="x"'), INPUT),
    Case("purpose-twice", "Credit-Purpose twice", "Credit-Purpose 重复",
         _with(("credit-purpose", 'matter="GRANT", case="1"'), ("credit-purpose", 'matter="GRANT", case="1"'),
               view="bare"), INPUT),
    Case("purpose-differs", "another matter than the token's", "事项与令牌不一致",
         _purpose('matter="TENDERING", case="1"', "restricted"), INPUT),
    Case("matter-not-granted", "a matter that the client is not registered for", "客户端未登记的事项",
         _purpose('matter="APPOINTMENT", case="1"'), MATTER, 403),
    Case("matter-unknown", "a matter that does not exist: it reads the same", "不存在的事项：答复相同",
         _purpose('matter="HOLIDAY", case="1"'), MATTER, 403),
    Case("hops-2", "Credit-Hops: 2", "Credit-Hops 为 2", _with(("credit-hops", "2")), INPUT),
    Case("hops-text", "Credit-Hops that is no number", "Credit-Hops 不是数字", _with(("credit-hops", "one")), INPUT),
    Case("hops-negative", "Credit-Hops: -1", "Credit-Hops 为 -1", _with(("credit-hops", "-1")), INPUT),
    Case("deadline-0", "Credit-Deadline-Ms: 0", "Credit-Deadline-Ms 为 0", _with(("credit-deadline-ms", "0")), INPUT),
    Case("deadline-text", "Credit-Deadline-Ms in seconds", "Credit-Deadline-Ms 使用秒",
         _with(("credit-deadline-ms", "1.5")), INPUT),
    Case("cost-other", "Credit-Cost: yes", "Credit-Cost 为 yes", _with(("credit-cost", "yes")), INPUT),
    Case("receipt-other", "Credit-Receipt: yes", "Credit-Receipt 为 yes", _with(("credit-receipt", "yes")), INPUT),
    Case("receipt-public", "a receipt in the public view", "在公开视图索取回执",
         _with(("credit-receipt", "request")), INPUT),
    Case("key-empty", "an empty Idempotency-Key", "Idempotency-Key 为空", _with(("idempotency-key", "")), INPUT),
    Case("key-long", "an Idempotency-Key of 256 characters", "Idempotency-Key 有 256 个字符",
         _with(("idempotency-key", "x" * 256)), INPUT),
    Case("key-number", "an identity number as Idempotency-Key", "以证件号码作为 Idempotency-Key",
         _with(("idempotency-key", "659999199001010015")), INPUT),
    Case("key-list", "two keys in one Idempotency-Key", "一个 Idempotency-Key 中有两个键",
         _with(("idempotency-key", '"a", "b"')), INPUT),
    Case("key-twice", "Idempotency-Key twice", "Idempotency-Key 重复",
         _with(("idempotency-key", "a"), ("idempotency-key", "b")), INPUT),
    Case("accept-xml", "Accept of XML alone", "Accept 仅接受 XML", _accept("application/xml"), INPUT, 406),
    Case("accept-refused", "Accept that refuses ours (q=0)", "Accept 以 q=0 拒绝 JSON",
         _accept("application/json;q=0"), INPUT, 406),
)  # fmt: skip
