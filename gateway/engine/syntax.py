"""The text of a document as a tree: graphql-core's parser over tokens that are matched by an expression each. Its own
lexer reads character by character, which was most of what long texts cost; the rest is a call for each thing that might
stand somewhere.

In: a document's text. Out: the tree, or the error, that graphql-core makes of it. What is ordinary is matched here;
whatever else stands at a place, right or wrong, is read by graphql-core there. A test compares the two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLSyntaxError,
    NameNode,
    SelectionNode,
    SelectionSetNode,
    Token,
    TokenKind,
)
from graphql.language import Lexer, Location, Source
from graphql.language.parser import Parser

# What is ignored, then one token; the former alone at the end and before what is not ordinary. A surrogate never is:
# with its neighbour it may be a character, or an error. Nothing is tried twice, whatever the text is: by atomic groups,
# since Python before 3.11.5 matches too much where the repeats of a group are possessive (gh-106052).
_PATTERN: Final = r"""([ \t,\ufeff\n\r]*+)
    (?> ([_A-Za-z][_0-9A-Za-z]*+)
      | ([!$&():=@\[\]{}|]|\.\.\.)
      | (-?(?:0|[1-9][0-9]*+)(?>(\.[0-9]++)?)(?>([Ee][+-]?[0-9]++)?))(?![.0-9A-Z_a-z])
      | "(?!"")((?>(?:[^"\\\n\r\ud800-\udfff]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*))"
      | "{3}((?>(?:[^"\\\ud800-\udfff]++|"(?!"")|\\(?>(?:"{3})?))*))"{3}
      | \#([^\n\r\ud800-\udfff]*+)(?![\ud800-\udfff])
      | )"""
_NEXT: Final = re.compile(_PATTERN, re.VERBOSE).match
_NAME, _SIGN, _NUMBER, _FRACTION, _EXPONENT, _STRING, _BLOCK, _COMMENT = range(2, 10)
_KINDS: Final = {kind.value: kind for kind in TokenKind}
_DECODE: Final[Callable[[str], str]] = json.JSONDecoder(strict=False).decode
_SURROGATE: Final = re.compile("[\ud800-\udfff]").search
_LINE_END: Final = re.compile("\r\n|[\n\r]")


def parse(text: str, most: int) -> DocumentNode:
    """A document of at most `most` tokens, comments among them. Its tokens are linked: `unlink` them when they were
    looked at. Raises GraphQLSyntaxError."""
    source = Source(text)
    lexer = _Lexer(source)
    first = lexer.token
    parser = _Parser(source, max_tokens=most, lexer=lexer, allow_empty_selection_sets=False)
    try:
        return parser.parse_document()
    except RecursionError:
        pass  # its frames are not kept with the error
    except GraphQLSyntaxError:
        unlink(first)
        raise
    place = lexer.token.start
    unlink(first)
    raise GraphQLSyntaxError(source, place, "Document is nested too deeply. Parsing aborted.")


def unlink(token: Token | None) -> None:
    """Take the tokens of a document apart. Each knows the one before and the one after: a tree that holds them is never
    free of circles, and only the collector could clear it away, which looks at everything there is."""
    while token is not None:
        following = token.next
        token.prev = token.next = None
        token = following


class _Parser(Parser):
    """graphql-core's parser, which looks once at what stands behind a name."""

    def parse_selection_set(self) -> SelectionSetNode:
        """SelectionSet: {Selection+}"""
        self._enter_nesting()
        lexer = self._lexer
        start = self.expect_token(TokenKind.BRACE_L)
        selections: list[SelectionNode] = []
        while True:
            selections.append(self.parse_fragment() if lexer.token.kind is TokenKind.SPREAD else self.parse_field())
            if lexer.token.kind is TokenKind.BRACE_R:
                break
        self.advance_lexer()
        self._nesting_depth -= 1
        return SelectionSetNode(selections=tuple(selections), loc=Location(start, lexer.last_token, lexer.source))

    def parse_field(self) -> FieldNode:
        """Field: Alias? Name Arguments? Directives? SelectionSet?"""
        lexer = self._lexer
        start = lexer.token
        alias, name = None, self.parse_name()
        if lexer.token.kind is TokenKind.COLON:
            self.advance_lexer()
            alias, name = name, self.parse_name()
        arguments = self.parse_arguments(False) if lexer.token.kind is TokenKind.PAREN_L else None
        directives = self.parse_directives(False) if lexer.token.kind is TokenKind.AT else None
        below = self.parse_selection_set() if lexer.token.kind is TokenKind.BRACE_L else None
        return FieldNode(
            alias=alias,
            name=name,
            arguments=arguments,
            directives=directives,
            selection_set=below,
            loc=Location(start, lexer.last_token, lexer.source),
        )

    def parse_name(self) -> NameNode:
        """A name."""
        lexer = self._lexer
        token = lexer.token
        if token.kind is not TokenKind.NAME:
            return super().parse_name()  # which says what is expected
        self.advance_lexer()
        assert token.value is not None
        return NameNode(value=token.value, loc=Location(token, token, lexer.source))


class _Lexer(Lexer):
    """graphql-core's lexer, which reads the ordinary at once."""

    def advance(self) -> Token:
        """The next token that is no comment."""
        token = self.last_token = self.token
        if token.next is None and token.kind is not TokenKind.EOF:
            following = token.next = self.read_next_token(token.end)
            following.prev = token
            if following.kind is not TokenKind.COMMENT:
                self.token = following
                return following
        self.token = token = self.lookahead()
        return token

    def read_next_token(self, start: int) -> Token:
        """The token behind `start`. Raises GraphQLSyntaxError."""
        body = self.source.body
        found = _NEXT(body, start)
        assert found is not None  # it matches nothing at all, too
        begin, end = found.end(1), found.end()
        if begin > start:
            self._pass(start, begin)
        line, column, group = self.line, 1 + begin - self.line_start, found.lastindex
        if group == _NAME:
            return Token(TokenKind.NAME, begin, end, line, column, found[_NAME])
        if group == _SIGN:
            return Token(_KINDS[found[_SIGN]], begin, end, line, column)
        if group == _STRING:
            text = found[_STRING]
            if "\\" in text:
                text = _DECODE(body[begin:end])  # its escapes are JSON's
                if _SURROGATE(text):
                    return super().read_next_token(begin)
            return Token(TokenKind.STRING, begin, end, line, column, text)
        if group == _NUMBER:
            kind = TokenKind.INT if found[_FRACTION] is None and found[_EXPONENT] is None else TokenKind.FLOAT
            return Token(kind, begin, end, line, column, found[_NUMBER])
        if group == _COMMENT:
            return Token(TokenKind.COMMENT, begin, end, line, column, found[_COMMENT])
        if group == _BLOCK:
            self._pass(begin, end)
            return Token(TokenKind.BLOCK_STRING, begin, end, line, column, _dedented(found[_BLOCK]))
        return super().read_next_token(begin)

    def _pass(self, start: int, end: int) -> None:
        """Count the lines that end between two places."""
        body = self.source.body
        feeds, returns = body.count("\n", start, end), body.count("\r", start, end)
        if feeds or returns:
            both = body.count("\r\n", start, end) if feeds and returns else 0
            self.line += feeds + returns - both
            self.line_start = 1 + max(body.rfind("\n", start, end), body.rfind("\r", start, end))


def _dedented(raw: str) -> str:
    """BlockStringValue of the specification: without common indentation and empty lines around."""
    lines = _LINE_END.split(raw.replace('\\"""', '"""'))
    written = [(number, len(line) - len(rest)) for number, line in enumerate(lines) if (rest := line.lstrip(" \t"))]
    if not written:
        return ""
    common = min((indent for number, indent in written if number), default=0)
    lines[1:] = [line[common:] for line in lines[1:]]
    return "\n".join(lines[written[0][0] : written[-1][0] + 1])
