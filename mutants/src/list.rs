//! The mutants, as `cargo mutants --list --json` tells of them.

use serde::Deserialize;
use std::ops::Range;

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Mutant {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) function: Option<Function>,
    pub(crate) span: Span,
    pub(crate) replacement: String,
    pub(crate) genre: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Function {
    pub(crate) return_type: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Span {
    start: Place,
    end: Place,
}

/// Both count from 1; columns are characters.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Place {
    line: usize,
    column: usize,
}

impl Span {
    /// Where it lies in the text of its file.
    pub(crate) fn bytes(self, text: &str) -> Range<usize> {
        self.start.byte(text)..self.end.byte(text)
    }
}

impl Place {
    fn byte(self, text: &str) -> usize {
        let begins: usize = text.split_inclusive('\n').take(self.line - 1).map(str::len).sum();
        let line = &text[begins..];
        begins + line.char_indices().nth(self.column - 1).map_or(line.len(), |(at, _)| at)
    }
}

impl Mutant {
    /// Whether what the function returns is known to its body alone.
    pub(crate) fn returns_opaque(&self) -> bool {
        self.function.as_ref().is_some_and(|function| function.return_type.contains("impl "))
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Span};

    #[test]
    fn a_span_counts_lines_and_characters_from_one() {
        let text = "fn é() {\n    ä + b\n}\n";
        let span = |line, column, to| Span {
            start: Place { line, column },
            end: Place { line, column: to },
        };
        assert_eq!(&text[span(1, 4, 5).bytes(text)], "é");
        assert_eq!(&text[span(2, 7, 8).bytes(text)], "+");
        assert_eq!(&text[span(2, 9, 10).bytes(text)], "b");
    }
}
