//! A source file as the rules see it: code apart from comments, and code as tokens.

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) raw: String,
    /// Without comments; what strings contain is left out, their quotes stay.
    pub(crate) code: String,
    pub(crate) comment: String,
}

/// A word or a single sign, with its line (from 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) lines: Vec<Line>,
    pub(crate) tokens: Vec<Token>,
    /// The line where `#[cfg(test)] mod` begins, or the number of lines.
    pub(crate) tests_at: usize,
}

impl Source {
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let lines = split(text);
        let tokens = tokens(&lines);
        let tests_at = tests_at(&lines);
        Self { path: path.to_owned(), lines, tokens, tests_at }
    }

    pub(crate) fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line: line + 1, message: message.into() }
    }

    /// The text of a token, or nothing past the last one.
    pub(crate) fn token(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    /// The comments that belong to a line: its own, and those above it, past at most `code_lines`
    /// lines of code, as long as `goes_on` says that the line above is part of the same thing.
    pub(crate) fn comments_above(
        &self,
        line: usize,
        code_lines: usize,
        goes_on: impl Fn(&str) -> bool,
    ) -> String {
        let mut found = self.lines[line].comment.clone();
        let mut passed = 0;
        for above in self.lines[..line].iter().rev() {
            let code = above.code.trim();
            let is_code = !code.is_empty() && !code.starts_with("#[");
            if is_code {
                passed += 1;
                if passed > code_lines || !goes_on(code) {
                    break;
                }
            } else if above.raw.trim().is_empty() {
                break;
            }
            found.push_str(&above.comment);
        }
        found
    }
}

#[derive(Clone, Copy)]
enum Inside {
    Code,
    LineComment,
    BlockComment(usize),
    Text,
    /// A raw string that ends with a quote and so many `#`.
    RawText(usize),
}

fn split(text: &str) -> Vec<Line> {
    let mut inside = Inside::Code;
    let mut lines = Vec::new();
    for raw in text.lines() {
        if let Inside::LineComment = inside {
            inside = Inside::Code;
        }
        let mut line = Line { raw: raw.to_owned(), ..Line::default() };
        let signs: Vec<char> = raw.chars().collect();
        let mut at = 0;
        while at < signs.len() {
            at += step(&signs[at..], &mut inside, &mut line);
        }
        lines.push(line);
    }
    lines
}

/// Reads one sign, or a few that belong together; returns how many.
fn step(rest: &[char], inside: &mut Inside, line: &mut Line) -> usize {
    let starts = |with: &str| with.chars().eq(rest.iter().copied().take(with.len()));
    match *inside {
        Inside::Code => return code_step(rest, inside, line),
        Inside::LineComment => line.comment.push(rest[0]),
        Inside::BlockComment(depth) if starts("*/") => {
            *inside = if depth == 1 { Inside::Code } else { Inside::BlockComment(depth - 1) };
            return 2;
        }
        Inside::BlockComment(depth) if starts("/*") => {
            *inside = Inside::BlockComment(depth + 1);
            return 2;
        }
        Inside::BlockComment(_) => line.comment.push(rest[0]),
        Inside::Text if rest[0] == '\\' => return 2,
        Inside::Text if rest[0] == '"' => {
            line.code.push('"');
            *inside = Inside::Code;
        }
        Inside::RawText(hashes) if ends_raw(rest, hashes) => {
            line.code.push('"');
            *inside = Inside::Code;
            return 1 + hashes;
        }
        Inside::Text | Inside::RawText(_) => {}
    }
    1
}

fn code_step(rest: &[char], inside: &mut Inside, line: &mut Line) -> usize {
    let starts = |with: &str| with.chars().eq(rest.iter().copied().take(with.len()));
    if starts("//") {
        *inside = Inside::LineComment;
        return 2;
    }
    if starts("/*") {
        *inside = Inside::BlockComment(1);
        return 2;
    }
    let in_word = line.code.chars().next_back().is_some_and(is_word);
    if rest[0] == 'r' && (!in_word || line.code.ends_with('b')) {
        let hashes = rest[1..].iter().take_while(|sign| **sign == '#').count();
        if rest.get(1 + hashes) == Some(&'"') {
            line.code.push('"');
            *inside = Inside::RawText(hashes);
            return 2 + hashes;
        }
    }
    if rest[0] == '"' {
        *inside = Inside::Text;
    }
    // A character literal, not a lifetime: '"' and '{' must not be taken for code.
    if rest[0] == '\'' {
        let length = if rest.get(1) == Some(&'\\') {
            rest.iter().skip(3).position(|sign| *sign == '\'').map(|end| end + 4)
        } else {
            (rest.get(2) == Some(&'\'')).then_some(3)
        };
        if let Some(length) = length {
            line.code.push_str("''");
            return length;
        }
    }
    line.code.push(rest[0]);
    1
}

fn ends_raw(rest: &[char], hashes: usize) -> bool {
    rest[0] == '"' && rest[1..].iter().take_while(|sign| **sign == '#').count() >= hashes
}

fn is_word(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}

fn tokens(lines: &[Line]) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (line, Line { code, .. }) in lines.iter().enumerate() {
        let mut word = String::new();
        for sign in code.chars().chain([' ']) {
            if is_word(sign) {
                word.push(sign);
                continue;
            }
            if !word.is_empty() {
                tokens.push(Token { text: std::mem::take(&mut word), line });
            }
            if !sign.is_whitespace() {
                tokens.push(Token { text: sign.to_string(), line });
            }
        }
    }
    tokens
}

fn tests_at(lines: &[Line]) -> usize {
    let is_mod = |line: Option<&Line>| {
        line.is_some_and(|line| line.code.starts_with("mod ") && line.code.ends_with('{'))
    };
    (0..lines.len())
        .find(|&at| {
            let code = lines[at].code.trim();
            (code == "#[cfg(test)]" || code.starts_with("#[cfg(all(test, "))
                && (is_mod(lines.get(at + 1)) || is_mod(lines.get(at + 2)))
        })
        .unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        Source::parse("a.rs", text).lines.into_iter().map(|line| line.code).collect()
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        assert_eq!(code("a /* b /* c */ d */ e // f"), ["a  e "]);
        assert_eq!(code("x(\"unsafe { \\\" // \") y"), ["x(\"\") y"]);
        assert_eq!(code("r#\"one \" two\nthree\"# four"), ["\"", "\" four"]);
        assert_eq!(code("'{' '\\'' '\\u{7f}' &'a str"), ["'' '' '' &'a str"]);
        assert_eq!(code("br\"x\" b\"y\" var\"z\""), ["b\"\" b\"\" var\"\""]);
    }

    #[test]
    fn comment_text_is_kept() {
        let source = Source::parse("a.rs", "// SAFETY: why\nf(); // and /* more");
        assert_eq!(source.lines[0].comment, " SAFETY: why");
        assert_eq!(source.lines[1].comment, " and /* more");
    }

    #[test]
    fn the_tests_of_a_file_are_found() {
        let source = Source::parse("a.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n}");
        assert_eq!(source.tests_at, 1);
        let source = Source::parse("a.rs", "#[cfg(test)]\nfn f() {}\n");
        assert_eq!(source.tests_at, 2);
    }
}
