//! A file with all its mutants in it, each behind a switch that is read when it gets there.
//!
//! `a < b` becomes `(if on(7) { a <= b } else { a < b })`. What one mutant puts there is the text
//! of the original, without any other mutant: only one is ever on. Comments say where each piece
//! begins and ends, so that what the compiler refuses can be traced to a mutant.

use crate::list::Mutant;
use crate::sites::{Kind, Site};
use std::fmt::Write;
use std::ops::Range;

/// The module that a woven file asks; it becomes a part of `lib.rs`.
pub(crate) const SWITCH: &str = "
#[doc(hidden)]
pub mod woven {
    /// Whether this mutant is the one that was chosen.
    pub fn on(mutant: u32) -> bool {
        static CHOSEN: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {
            std::env::var(\"HALFSHAKE_MUTANT\").map_or(0, |number| number.parse().unwrap())
        });
        *CHOSEN == mutant
    }
}
";

pub(crate) struct Weaver<'a> {
    pub(crate) text: &'a str,
    pub(crate) mutants: &'a [Mutant],
    pub(crate) sites: &'a [Site],
}

impl Weaver<'_> {
    pub(crate) fn file(&self) -> String {
        self.piece(0..self.text.len(), 0)
    }

    /// A piece of the file with the sites in it, from the `from`th on.
    fn piece(&self, range: Range<usize>, from: usize) -> String {
        let mut woven = String::new();
        let mut at = range.start;
        for (index, site) in self.sites.iter().enumerate().skip(from) {
            // A site that lies in one that is done is done, too.
            if site.range.start < at || site.range.end > range.end {
                continue;
            }
            woven += &self.text[at..site.range.start];
            write!(woven, "\n/*@S{index}*/").expect("a string takes everything");
            woven += &self.site(index);
            write!(woven, "\n/*@/S{index}*/").expect("a string takes everything");
            at = site.range.end;
        }
        woven + &self.text[at..range.end]
    }

    fn site(&self, index: usize) -> String {
        let site = &self.sites[index];
        let inside = |range: &Range<usize>| self.piece(range.clone(), index + 1);
        let plain = |range: &Range<usize>| &self.text[range.clone()];
        match &site.kind {
            Kind::Body => {
                let early = |number: &usize| {
                    let value = &self.mutants[*number].replacement;
                    marked(*number, &format!("if {} {{ return {value}; }}", on(*number)))
                };
                format!("{{{}", site.mutants.iter().map(early).collect::<String>())
            }
            Kind::Binary { left, right } => {
                let operator = plain(&(left.end..right.start));
                let original = format!("{}{operator}{}", inside(left), inside(right));
                self.choice(site, &original, |number| {
                    let operator = &self.mutants[number].replacement;
                    format!("{} {operator} {}", plain(left), plain(right))
                })
            }
            Kind::Unary { operand } => {
                let sign = &self.text[site.range.start..operand.start];
                let original = format!("{sign}{}", inside(operand));
                self.choice(site, &original, |_| plain(operand).to_owned())
            }
            Kind::Guard => self.choice(site, &inside(&site.range), |number| {
                self.mutants[number].replacement.clone()
            }),
            Kind::Arm { has_guard } => {
                let off = |number: &usize| marked(*number, &format!("!{}", on(*number)));
                let off = site.mutants.iter().map(off).collect::<Vec<_>>().join(" && ");
                if *has_guard {
                    format!("{off} && ({})", inside(&site.range))
                } else {
                    format!("if {off} =>")
                }
            }
            Kind::Structure { fields } => self.choice(site, &inside(&site.range), |number| {
                let (field, _) = fields.iter().find(|(_, of)| *of == number).expect("it has one");
                let before = &self.text[site.range.start..field.start];
                format!("{before}{}", &self.text[field.end..site.range.end])
            }),
        }
    }

    fn choice(&self, site: &Site, original: &str, mutated: impl Fn(usize) -> String) -> String {
        let mut woven = String::from("(");
        for number in &site.mutants {
            // A comment at the end of a piece ends with its line.
            let branch = format!("if {} {{ {}\n}}", on(*number), mutated(*number));
            woven += &marked(*number, &branch);
            woven += " else ";
        }
        woven + "{ " + original + "\n})"
    }
}

/// Numbers that programs are given begin with 1: no mutant is 0.
fn on(number: usize) -> String {
    format!("crate::woven::on({})", number + 1)
}

fn marked(number: usize, piece: &str) -> String {
    format!("\n/*@M{number}*/{piece}\n/*@/M{number}*/")
}

/// What of a woven file a line belongs to: mutants, or else all those of the innermost site.
pub(crate) fn blamed(woven: &str, line: usize, sites: &[Site]) -> Vec<usize> {
    let mut open: Vec<(char, usize)> = Vec::new();
    for text in woven.lines().take(line) {
        // A mark stands at the beginning of its line.
        let Some(mark) = text.strip_prefix("/*@").and_then(|rest| rest.split("*/").next()) else {
            continue;
        };
        let closes = mark.starts_with('/');
        let mark = mark.trim_start_matches('/');
        let (Some(kind), Ok(number)) = (mark.chars().next(), mark[1..].parse()) else { continue };
        if closes {
            open.retain(|other| *other != (kind, number));
        } else {
            open.push((kind, number));
        }
    }
    match open.last() {
        Some(('M', number)) => vec![*number],
        Some((_, site)) => sites[*site].mutants.clone(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(line: usize, columns: (usize, usize), replacement: &str, genre: &str) -> Mutant {
        let place = |column| format!("{{\"line\":{line},\"column\":{column}}}");
        let span = format!("{{\"start\":{},\"end\":{}}}", place(columns.0), place(columns.1));
        serde_json::from_str(&format!(
            "{{\"name\":\"x\",\"file\":\"f\",\"function\":null,\"span\":{span},\
             \"replacement\":\"{replacement}\",\"genre\":\"{genre}\"}}"
        ))
        .unwrap()
    }

    /// The woven text without marks and with single spaces.
    fn woven(text: &str, mutants: &[Mutant]) -> String {
        let sites = crate::sites::find(text, mutants.iter().enumerate()).unwrap().sites;
        let found: usize = sites.iter().map(|site| site.mutants.len()).sum();
        assert_eq!(found, mutants.len(), "every mutant has its site");
        let woven = Weaver { text, mutants, sites: &sites }.file();
        syn::parse_file(&woven).expect("what was woven is Rust");
        let mut plain = String::new();
        for line in woven.lines() {
            let rest = line.split_once("*/").filter(|_| line.starts_with("/*@"));
            plain += rest.map_or(line, |(_, rest)| rest);
            plain.push(' ');
        }
        let words: Vec<&str> = plain.split_whitespace().collect();
        words.join(" ").replace("crate::woven::", "").replace("( ", "(").replace(" )", ")")
    }

    #[test]
    fn operators_nest_and_each_mutant_is_alone() {
        let text = "fn f() -> bool { a < b && !c }";
        let mutants = [
            mutant(1, (18, 29), "true", "FnValue"),
            mutant(1, (20, 21), "<=", "BinaryOperator"),
            mutant(1, (24, 26), "||", "BinaryOperator"),
            mutant(1, (27, 28), "", "UnaryOperator"),
        ];
        assert_eq!(
            woven(text, &mutants),
            "fn f() -> bool { if on(1) { return true; } \
             (if on(3) { a < b || !c } else { \
             (if on(2) { a <= b } else { a < b }) && (if on(4) { c } else { !c }) }) }"
        );
    }

    #[test]
    fn arms_and_guards_and_fields_go() {
        let text = "fn f() { match x {\n1 if y => A { b: 1, ..C },\n2 => {}\n_ => {} } }";
        let mutants = [
            mutant(2, (1, 27), "", "MatchArm"),
            mutant(2, (6, 7), "true", "MatchArmGuard"),
            mutant(2, (15, 20), "", "StructField"),
            mutant(3, (1, 8), "", "MatchArm"),
        ];
        let woven = woven(text, &mutants);
        assert!(woven.contains("1 if !on(1) && ((if on(2) { true } else { y })) =>"), "{woven}");
        assert!(woven.contains("(if on(3) { A { ..C } } else { A { b: 1, ..C } })"), "{woven}");
        assert!(woven.contains("2 if !on(4) => {}"), "{woven}");
    }

    #[test]
    fn a_line_is_blamed_on_the_innermost_piece() {
        let text = "fn f() -> bool { a < b }";
        let mutants = [mutant(1, (20, 21), "<=", "BinaryOperator")];
        let sites = crate::sites::find(text, mutants.iter().enumerate()).unwrap().sites;
        let woven = Weaver { text, mutants: &mutants, sites: &sites }.file();
        let line = |piece: &str| 1 + woven.lines().position(|line| line.contains(piece)).unwrap();
        assert_eq!(blamed(&woven, line("a <= b"), &sites), [0]);
        assert_eq!(blamed(&woven, line("a < b"), &sites), [0], "its site's");
        assert!(blamed(&woven, line("fn f"), &sites).is_empty());
    }
}
