"""What is wrong with a document and what to do, in English and Chinese: graphql-core has its messages in English alone.

In: a message of graphql-core, the asker's own contract. Out: (English, Chinese), of which nothing names what the
contract lacks but the client's own words, identity numbers in them masked. A message that no rule knows keeps its
English.
"""

from __future__ import annotations

import re

from graphql import GraphQLEnumType, GraphQLNamedType, GraphQLSchema

from gateway.storage.nearly import masked

LONGEST = 400  # characters: messages repeat what the client wrote

_KINDS = {
    "argument": "参数",
    "fragment": "片段",
    "variable": "变量",
    "operation": "操作",
    "input field": "输入字段",
    "directive": "指令",
}
# What a value of a type looks like. Enums list their values; other types say it in their scalars.
_SHAPES = {
    "Int": ("a whole number of 32 bits without quotes", "不带引号的 32 位整数"),
    "Float": ("a number without quotes", "不带引号的数值"),
    "String": ("text in double quotes", "双引号中的文本"),
    "Boolean": ("true or false without quotes", "不带引号的 true 或 false"),
    "ID": ("an id as this gateway gave it, in double quotes", "本系统给出的标识，加双引号"),
}

_Rules = tuple[tuple[re.Pattern[str], str, str], ...]


def _rules(*rows: tuple[str, str, str]) -> _Rules:
    return tuple((re.compile(pattern, re.DOTALL), en, zh) for pattern, en, zh in rows)


_SYNTAX = _rules(
    (r"Expected (.+), found <EOF>\.", "the document ends where {0} is expected; close every bracket and quote",
     "文档在应有 {0} 的位置结束，请补全括号和引号"),
    (r"Unexpected <EOF>\.", "the document is empty or ends too early; write a query such as {{ viewer {{ view }} }}",
     "文档为空或不完整，请写出查询，例如 {{ viewer {{ view }} }}"),
    (r"Expected (.+), found (.+)\.", "{0} is expected here, not {1}; correct the document at this place",
     "此处应为 {0}，而不是 {1}，请在该位置改正文档"),
    (r"Unterminated string\.", "the string does not end; close it with a double quote on its line",
     "字符串未结束，请在同一行用双引号闭合"),
    (r"Unexpected single quote.*", 'single quotes mean nothing here; put text in double quotes (")',
     "此处不能使用单引号，文本请使用双引号（\"）"),
    (r"Invalid (?:character|Unicode) escape sequence: '(.+)'\.",
     "the escape {0} does not exist; write \\\\ for a backslash", "转义 {0} 不存在，反斜线请写作 \\\\"),
    (r"(?:Unexpected|Invalid) character(?: within String)?: (.+)\.",
     "the character {0} can't stand here; GraphQL's signs are ASCII, and text stands in double quotes",
     "此处不能使用字符 {0}；GraphQL 的符号为半角字符，文本应放在双引号中"),
    (r"Invalid number, .*", "GraphQL has no such number; leave out zeros in front, have digits around the point",
     "数值前面不能加零，小数点两侧都应有数字"),
    (r"Unexpected (.+)\.", "{0} can't stand here; correct the document at this place",
     "此处不能出现 {0}，请在该位置改正文档"),
)  # fmt: skip

_SEE = "/schema/{contract}.graphql"
_VALIDATION = _rules(
    (r"Cannot query field '(.+)' on type '(.+)'\..*", "{1} has no field '{0}' in your view; see " + _SEE,
     "您的视图中 {1} 没有字段“{0}”，请对照 " + _SEE),
    (r"Unknown argument '(.+)' on field '(.+)'\..*", "{1} has no argument '{0}' in your view; see " + _SEE,
     "您的视图中 {1} 没有参数“{0}”，请对照 " + _SEE),
    (r"Unknown argument '(.+)' on directive '(.+)'\..*", "{1} has no argument {0}; see " + _SEE,
     "指令 {1} 没有参数 {0}，请对照 " + _SEE),
    (r"Unknown type '(.+)'\..*", "there is no type '{0}' in your view; see " + _SEE,
     "您的视图中没有类型“{0}”，请对照 " + _SEE),
    (r"Unknown directive '(.+)'\.", "there is no directive {0}; take it out, or use @skip or @include",
     "没有指令 {0}，请去掉，或使用 @skip、@include"),
    (r"Directive '(.+)' may not be used on (.+)\.", "{0} can't stand on a {1}; move it to a field or a fragment",
     "{0} 不能用于 {1}，请移到字段或片段上"),
    (r"Argument '(.+)' of type '(.+)' is required, but it was not provided\.",
     "{0} is required; give it a value of {1}",
     "缺少必需的 {0}，请给出 {1} 类型的值"),
    (r"The directive '(.+)' can only be used once at this location\.", "{0} stands here twice; leave one",
     "此处 {0} 重复，请只保留一个"),
    (r"Unknown fragment '(.+)'\.", "the document has no fragment {0}; define it, or take ...{0} out",
     "文档中没有片段 {0}，请定义它或去掉 ...{0}"),
    (r"Cannot spread fragment '(.+?)' within itself.*", "fragment {0} contains itself; break the cycle",
     "片段 {0} 循环引用自身，请打断循环"),
    (r"Fragment '(.+)' is never used\.", "nobody uses fragment {0}; spread it by ...{0}, or take it out",
     "片段 {0} 未使用，请用 ...{0} 引用或将其删除"),
    (r"There can be only one (argument|fragment|variable|operation|input field|directive) named '(.+)'\.",
     "there are two of {1}; leave one {0} of that name", "{1} 重复，该名称的{kind}请只保留一个"),
    (r"Fragment(?: '(.+)')? cannot condition on non composite type '(.+)'\.",
     "a fragment can't stand on {1}, which has no fields; name an object or an interface",
     "片段不能用于没有字段的类型 {1}，请指定对象或接口类型"),
    (r"Fragment(?: '(.+)')? cannot be spread here as objects of type '(.+)' can never be of type '(.+)'\.",
     "{1} is never a {2}; take this fragment out", "{1} 不可能是 {2}，请去掉该片段"),
    (r"Field '(.+)' of type '(.+)' must have a selection of subfields\..*",
     "{0} is an object; say which of its fields: {0} {{ … }}", "{0} 是对象，请写明所需字段：{0} {{ … }}"),
    (r"Field '(.+)' must not have a selection since type '(.+)' has no subfields\.",
     "{0} has no fields of its own; take its brackets out", "{0} 没有下级字段，请去掉其花括号"),
    (r"Fields '(.+)' conflict because .*", "{0} stands for two different things here; give one of them an alias",
     "此处 {0} 对应不同内容，请为其中之一使用别名"),
    (r"Variable '(.+?)' is not defined.*", "{0} is not defined; define it in the brackets behind the operation's name",
     "变量 {0} 未定义，请在操作名后的括号中定义"),
    (r"Variable '(.+?)' is never used.*", "nobody uses {0}; use it, or take its definition out",
     "变量 {0} 未使用，请使用它或删除其定义"),
    (r"Variable '(.+)' cannot be non-input type '(.+)'\.", "{0} can't be a {1}, which only answers have; see " + _SEE,
     "变量 {0} 不能使用只用于答复的类型 {1}，请对照 " + _SEE),
    (r"Variable '(.+)' of type '(.+)' used in position expecting type '(.+)'\.",
     "{0} is a {1} where a {2} is expected; define it as {2}", "变量 {0} 的类型为 {1}，此处应为 {2}，请按 {2} 定义"),
    (r"This anonymous operation must be the only defined operation\.",
     "an operation without a name stands alone; name each of several", "存在多个操作时，每个操作都必须命名"),
    (r"The (\w+) operation is not supported by the schema\.", "your view has no {0}; see " + _SEE,
     "您的视图没有 {0}，请对照 " + _SEE),
    (r"The (.+) definition is not executable\.", "{0} is a definition of a schema; send queries and fragments alone",
     "{0} 是模式定义，请只发送查询和片段"),
    (r"Expected value of type '(.+)' not to include unknown field '(.+?)'.*", "{0} has no field '{1}'; see " + _SEE,
     "{0} 没有字段“{1}”，请对照 " + _SEE),
    (r"Expected value of type '(.+)' to include required field '(.+?)'.*", "{0} needs the field {1}; give it",
     "{0} 缺少必需的字段 {1}，请给出"),
    (r"Expected value of type '(.+)' to be an object.*", "a {0} is expected: an object in {{ }}",
     "此处应为 {0}：花括号中的对象"),
    (r"Expected (?:a )?value of non-null type '(.+?)'.*", "a {0} is required, null is not taken; give a value",
     "此处必须给出 {0} 类型的值，不能为 null"),
    (r"Value '(.+)' does not exist in '(.+)' enum\..*", "{0} is no value of {1}; take {shape}",
     "{0} 不是 {1} 的取值，应为{shape_zh}"),
    (r"Enum '(.+)' cannot represent non-enum value: (.+)\.", "{1} is no value of {0}; take {shape}",
     "{1} 不是 {0} 的取值，应为{shape_zh}"),
    (r"Expected value of type '(.+?)', but encountered error .*", "that is no value of {0}; write {shape}",
     "此处不是 {0} 的取值，应为{shape_zh}"),
    (r"(Int|Float|String|Boolean|ID) cannot represent .*?value: (.+)", "{1} is no value of {0}; write {shape}",
     "{1} 不是 {0} 的取值，应为{shape_zh}"),
    (r"Too many validation errors.*", "there are more mistakes than these; correct them first",
     "还有更多错误，请先改正以上各处"),
)  # fmt: skip


def syntax(message: str) -> tuple[str, str]:
    """A syntax error of graphql-core in our words."""
    return _worded(message.removeprefix("Syntax Error: "), _SYNTAX, {})


def validation(message: str, schema: GraphQLSchema, contract: str) -> tuple[str, str]:
    """A validation error of graphql-core in our words, for an asker of that contract."""
    more = {"contract": contract.lower()}
    for pattern, *_ in _VALIDATION:
        found = pattern.fullmatch(message)
        if found is not None:
            for name in found.groups(default=""):
                if name in _KINDS:
                    more["kind"] = _KINDS[name]
                named = schema.type_map.get(name)
                if name in _SHAPES or isinstance(named, GraphQLEnumType):
                    more["shape"], more["shape_zh"] = shape(named, name)
            break
    return _worded(message, _VALIDATION, more)


def shape(type_: GraphQLNamedType | None, name: str) -> tuple[str, str]:
    """What a value of an enum or of a built-in scalar looks like."""
    if isinstance(type_, GraphQLEnumType):
        values = ", ".join(type_.values)
        return (f"one of {values}", f"以下之一：{values}") if len(type_.values) > 1 else (values, values)
    return _SHAPES.get(name, (f"a value of {name}", f"{name} 类型的值"))


def _worded(message: str, rules: _Rules, more: dict[str, str]) -> tuple[str, str]:
    for pattern, en, zh in rules:
        found = pattern.fullmatch(message)
        if found is not None:
            groups = [_shortened(masked(group)) for group in found.groups(default="")]
            return en.format(*groups, **more), zh.format(*groups, **more)
    message = _shortened(masked(message), LONGEST).rstrip(".")
    return f"{message}; correct the document at this place", f"查询文档有误（{message}），请在该位置改正"


def _shortened(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
