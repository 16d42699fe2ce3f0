//! Where in a file something is mutated: what stands there, found by its syntax.

use crate::list::Mutant;
use proc_macro2::Span;
use std::collections::HashMap;
use std::ops::Range;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprLit, Lit, Meta, Stmt, Token};

/// What builds for models and fuzzers set.
const MODEL_FLAGS: [&str; 7] = [
    "crossbeam_loom",
    "crossbeam_sanitize",
    "fuzzing",
    "halfshake_loom",
    "halfshake_shuttle",
    "halfshake_tsan",
    "miri",
];

/// A piece of a file, and the mutants that change it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) range: Range<usize>,
    pub(crate) kind: Kind,
    /// Numbers of mutants.
    pub(crate) mutants: Vec<usize>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// The brace that opens a function's body, which returns something else at once.
    Body,
    Binary {
        left: Range<usize>,
        right: Range<usize>,
    },
    /// `!` or `-`, which go.
    Unary {
        operand: Range<usize>,
    },
    /// The guard of an arm, which is always true or always false.
    Guard,
    /// An arm that goes: the guard that it has, or nothing before its arrow.
    Arm {
        has_guard: bool,
    },
    /// A structure with `..rest`, and its fields, each with the mutant that leaves it out.
    Structure {
        fields: Vec<(Range<usize>, usize)>,
    },
}

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Outer before inner. Mutants of which it cannot be told where they belong have none.
    pub(crate) sites: Vec<Site>,
    /// Mutants of what only other builds have (models, other platforms).
    pub(crate) elsewhere: Vec<usize>,
    /// Mutants that are no Rust: `let` stands only between `&&`.
    pub(crate) unviable: Vec<usize>,
}

pub(crate) fn find<'a>(
    text: &str,
    mutants: impl Iterator<Item = (usize, &'a Mutant)>,
) -> syn::Result<Found> {
    let mut wanted: HashMap<(String, usize, usize), Vec<usize>> = HashMap::new();
    for (number, mutant) in mutants {
        let range = mutant.span.bytes(text);
        wanted.entry((mutant.genre.clone(), range.start, range.end)).or_default().push(number);
    }
    let file = syn::parse_file(text)?;
    let mut finder = Finder { text, wanted, is_elsewhere: false, found: Found::default() };
    finder.visit_file(&file);
    let mut found = finder.found;
    // Stable: of two that are as long, the one that was found first is the outer one.
    found.sites.sort_by_key(|site| (site.range.start, std::cmp::Reverse(site.range.end)));
    Ok(found)
}

struct Finder<'a> {
    text: &'a str,
    wanted: HashMap<(String, usize, usize), Vec<usize>>,
    is_elsewhere: bool,
    found: Found,
}

impl Finder<'_> {
    fn take(&mut self, genre: &str, range: &Range<usize>) -> Vec<usize> {
        let key = (genre.to_owned(), range.start, range.end);
        let mutants = self.wanted.remove(&key).unwrap_or_default();
        if self.is_elsewhere {
            self.found.elsewhere.extend(mutants);
            return Vec::new();
        }
        mutants
    }

    /// Visits what has these attributes.
    fn under(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        let outside = self.is_elsewhere;
        self.is_elsewhere |= !is_here(attributes);
        visit(self);
        self.is_elsewhere = outside;
    }

    fn add(&mut self, range: Range<usize>, kind: Kind, mutants: Vec<usize>) {
        if !mutants.is_empty() {
            self.found.sites.push(Site { range, kind, mutants });
        }
    }

    fn body(&mut self, block: &syn::Block) {
        let (Some(first), Some(last)) = (block.stmts.first(), block.stmts.last()) else { return };
        let body = first.span().byte_range().start..last.span().byte_range().end;
        let mutants = self.take("FnValue", &body);
        let brace = block.brace_token.span.open().byte_range();
        self.add(brace, Kind::Body, mutants);
    }
}

fn bytes(span: Span) -> Range<usize> {
    span.byte_range()
}

/// Whether a test build on this platform, with every feature of the core, has what stands under
/// these.
fn is_here(attributes: &[Attribute]) -> bool {
    let conditions = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    conditions.map(|cfg| cfg.parse_args::<Meta>()).all(|condition| match condition {
        Ok(condition) => holds(&condition),
        Err(_) => true,
    })
}

fn holds(condition: &Meta) -> bool {
    match condition {
        Meta::Path(flag) => !MODEL_FLAGS.iter().any(|model| flag.is_ident(model)),
        Meta::NameValue(pair) => {
            let Expr::Lit(ExprLit { lit: Lit::Str(value), .. }) = &pair.value else { return true };
            match value.value().as_str() {
                "linux" => cfg!(target_os = "linux"),
                "x86_64" => cfg!(target_arch = "x86_64"),
                "aarch64" => cfg!(target_arch = "aarch64"),
                "64" => cfg!(target_pointer_width = "64"),
                // Those of the adapters, which no test of the core builds.
                "openssl" | "rustls-0_23" => false,
                _ => true,
            }
        }
        Meta::List(list) => {
            let parts = list
                .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
                .unwrap_or_default();
            if list.path.is_ident("not") {
                !parts.iter().any(holds)
            } else if list.path.is_ident("any") {
                parts.iter().any(holds)
            } else {
                parts.iter().all(holds)
            }
        }
    }
}

fn has_let(condition: &Expr) -> bool {
    match condition {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

fn attributes_of(statement: &Stmt) -> &[Attribute] {
    match statement {
        Stmt::Local(local) => &local.attrs,
        Stmt::Expr(Expr::Block(block), _) => &block.attrs,
        Stmt::Expr(Expr::If(branch), _) => &branch.attrs,
        Stmt::Expr(Expr::Call(call), _) => &call.attrs,
        Stmt::Expr(Expr::MethodCall(call), _) => &call.attrs,
        _ => &[],
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.under(&item.attrs, |finder| visit::visit_item_mod(finder, item));
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.under(&item.attrs, |finder| visit::visit_item_impl(finder, item));
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.under(&item.attrs, |finder| visit::visit_item_const(finder, item));
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        self.under(attributes_of(statement), |finder| visit::visit_stmt(finder, statement));
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.under(&item.attrs, |finder| {
            finder.body(&item.block);
            visit::visit_item_fn(finder, item);
        });
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.under(&item.attrs, |finder| {
            finder.body(&item.block);
            visit::visit_impl_item_fn(finder, item);
        });
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.body(block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        let mutants = self.take("BinaryOperator", &bytes(binary.op.span()));
        let (left, right) = (bytes(binary.left.span()), bytes(binary.right.span()));
        if has_let(&binary.left) || has_let(&binary.right) {
            self.found.unviable.extend(mutants);
        } else {
            self.add(bytes(binary.span()), Kind::Binary { left, right }, mutants);
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        let mutants = self.take("UnaryOperator", &bytes(unary.op.span()));
        let operand = bytes(unary.expr.span());
        self.add(bytes(unary.span()), Kind::Unary { operand }, mutants);
        visit::visit_expr_unary(self, unary);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let gone = self.take("MatchArm", &bytes(arm.span()));
        if let Some((_, guard)) = &arm.guard {
            let range = bytes(guard.span());
            self.add(range.clone(), Kind::Arm { has_guard: true }, gone);
            let mutants = self.take("MatchArmGuard", &range);
            self.add(range, Kind::Guard, mutants);
        } else {
            let arrow = bytes(arm.fat_arrow_token.span());
            self.add(arrow, Kind::Arm { has_guard: false }, gone);
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, structure: &'ast syn::ExprStruct) {
        let mut fields = Vec::new();
        for field in &structure.fields {
            let mut range = bytes(field.span());
            let rest = &self.text[range.end..];
            if rest.trim_start().starts_with(',') {
                range.end += rest.find(',').map_or(0, |comma| comma + 1);
            }
            for number in self.take("StructField", &range) {
                fields.push((range.clone(), number));
            }
        }
        let mutants = fields.iter().map(|(_, number)| *number).collect();
        self.add(bytes(structure.span()), Kind::Structure { fields }, mutants);
        visit::visit_expr_struct(self, structure);
    }
}

#[cfg(test)]
mod tests {
    use super::is_here;

    #[test]
    fn what_only_other_builds_have_is_told_from_the_rest() {
        let verdict = |condition: &str| {
            let item: syn::ItemConst =
                syn::parse_str(&format!("#[cfg({condition})] const A: u8 = 1;")).unwrap();
            is_here(&item.attrs)
        };
        for here in
            ["test", "feature = \"seal\"", "not(halfshake_loom)", "any(test, halfshake_loom)"]
        {
            assert!(verdict(here), "{here}");
        }
        for elsewhere in [
            "halfshake_loom",
            "not(test)",
            "all(test, halfshake_shuttle)",
            "not(feature = \"seal\")",
            "feature = \"openssl\"",
        ] {
            assert!(!verdict(elsewhere), "{elsewhere}");
        }
    }
}
