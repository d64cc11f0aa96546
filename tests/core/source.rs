//! The names in the code of one file. `syn` reads it, so strings and comments do not count; tokens in
//! macros are searched for paths. What only tests use does not count either.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};

/// The parts of a path or of a module's name; the root's is empty, `::std` begins with an empty part.
pub type Names = Vec<String>;

#[derive(Default)]
pub struct Module {
    /// Names that `use` brings in, anywhere in the module, and the paths that stand there.
    pub uses: BTreeMap<String, BTreeSet<Names>>,
    /// `use a::b::*`
    pub globs: BTreeSet<Names>,
    /// What the module defines itself.
    pub items: BTreeSet<String>,
    /// Every path in its code, and those of `use`.
    pub paths: BTreeSet<Names>,
    /// The macros that it calls, without their paths.
    pub macros: BTreeSet<String>,
    /// Paths in its documentation that begin with `crate::`.
    pub docs: BTreeSet<Names>,
}

pub fn names(parts: &str) -> Names {
    parts.split("::").map(str::to_owned).collect()
}

fn name(ident: &proc_macro2::Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}

/// Whether this stands under `cfg(test)` or `cfg(all(test, ...))`.
fn test_only(attributes: &[syn::Attribute]) -> bool {
    let is_test = |token: &TokenTree| matches!(token, TokenTree::Ident(ident) if *ident == "test");
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        let tokens: Vec<_> = list.tokens.clone().into_iter().collect();
        list.path.is_ident("cfg")
            && match tokens.as_slice() {
                [only] => is_test(only),
                [TokenTree::Ident(all), TokenTree::Group(group)] if *all == "all" => {
                    group.stream().into_iter().any(|token| is_test(&token))
                }
                _ => false,
            }
    })
}

/// Fills in the modules of one file.
pub struct Reader<'a> {
    pub modules: &'a mut BTreeMap<Names, Module>,
    pub at: Names,
    /// Modules with files of their own that are for tests alone.
    pub tests: &'a mut BTreeSet<Names>,
}

impl Reader<'_> {
    pub fn module(&mut self) -> &mut Module {
        self.modules.entry(self.at.clone()).or_default()
    }

    /// `a::{b, c::{self, d as e}}`, below what stands before it.
    fn tree(&mut self, tree: &syn::UseTree, mut before: Names) {
        let (ident, alias) = match tree {
            syn::UseTree::Path(path) => {
                before.push(name(&path.ident));
                return self.tree(&path.tree, before);
            }
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|inner| self.tree(inner, before.clone()));
            }
            syn::UseTree::Glob(_) => {
                self.module().paths.insert(before.clone());
                self.module().globs.insert(before);
                return;
            }
            syn::UseTree::Name(only) => (&only.ident, None),
            syn::UseTree::Rename(both) => (&both.ident, Some(name(&both.rename))),
        };
        if *ident != "self" || before.is_empty() {
            before.push(name(ident));
        }
        let alias = alias.or_else(|| before.last().cloned()).unwrap_or_default();
        self.module().paths.insert(before.clone());
        self.module().uses.entry(alias).or_default().insert(before);
    }

    /// The paths among the tokens of a macro or an attribute; `strings`: also those in quotes, as in
    /// `#[serde(with = "a::b")]`.
    fn tokens(&mut self, stream: TokenStream, strings: bool) {
        let mut all: Vec<TokenTree> = Vec::new();
        let mut stream = stream.into_iter().peekable();
        while let Some(token) = stream.next() {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '$' => {
                    // `$crate` is the crate; any other is a name that the call fills in.
                    let other =
                        |next: &TokenTree| matches!(next, TokenTree::Ident(i) if *i != "crate");
                    stream.next_if(other);
                }
                token => all.push(token),
            }
        }
        let sign = |at: usize, sign: char| matches!(all.get(at), Some(TokenTree::Punct(p)) if p.as_char() == sign);
        let colons = |at: usize| sign(at, ':') && sign(at + 1, ':');
        let mut at = 0;
        while at < all.len() {
            let start = at;
            at += 1;
            match &all[start] {
                TokenTree::Group(group) => self.tokens(group.stream(), strings),
                TokenTree::Literal(literal) if strings => {
                    let text = syn::parse2::<syn::LitStr>(TokenTree::from(literal.clone()).into());
                    if let Ok(path) = text.and_then(|text| text.parse::<syn::Path>()) {
                        self.visit_path(&path);
                    }
                }
                TokenTree::Ident(ident) if *ident == "use" => {
                    let end = (start..all.len()).find(|&end| sign(end, ';'));
                    let text = end.map(|end| all[start..=end].iter().cloned().collect());
                    if let Some(Ok(item)) = text.map(syn::parse2::<syn::ItemUse>) {
                        self.visit_item_use(&item);
                        at = end.unwrap() + 1;
                    }
                }
                TokenTree::Ident(ident) => {
                    let mut path = vec![name(ident)];
                    while colons(at) {
                        let Some(TokenTree::Ident(part)) = all.get(at + 2) else { break };
                        path.push(name(part));
                        at += 3;
                    }
                    if sign(at, '!') && !sign(at + 1, '=') {
                        self.module().macros.extend(path.last().cloned());
                    }
                    let before = |back: usize, c| start >= back && sign(start - back, c);
                    if before(1, ':') && before(2, ':') {
                        path.insert(0, String::new());
                    }
                    if !before(1, '.') || before(2, '.') {
                        self.module().paths.insert(path); // no field and no method
                    }
                }
                _ => {}
            }
        }
    }
}

/// Goes on below a node, unless only tests have it.
macro_rules! without_tests {
    ($($visit:ident: $node:ident),* $(,)?) => {
        $(fn $visit(&mut self, node: &'a syn::$node) {
            if !test_only(&node.attrs) {
                visit::$visit(self, node);
            }
        })*
    };
}

/// The same for what has a name.
macro_rules! items_without_tests {
    ($($visit:ident: $node:ident $(. $part:ident)* ),* $(,)?) => {
        $(fn $visit(&mut self, node: &'a syn::$node) {
            if !test_only(&node.attrs) {
                self.module().items.insert(name(&node$(.$part)*));
                visit::$visit(self, node);
            }
        })*
    };
}

impl<'a> Visit<'a> for Reader<'_> {
    items_without_tests! {
        visit_item_const: ItemConst.ident,
        visit_item_enum: ItemEnum.ident,
        visit_item_fn: ItemFn.sig.ident,
        visit_item_static: ItemStatic.ident,
        visit_item_struct: ItemStruct.ident,
        visit_item_trait: ItemTrait.ident,
        visit_item_type: ItemType.ident,
        visit_item_union: ItemUnion.ident,
    }

    without_tests! {
        visit_arm: Arm,
        visit_expr_block: ExprBlock,
        visit_field: Field,
        visit_field_value: FieldValue,
        visit_impl_item_const: ImplItemConst,
        visit_impl_item_fn: ImplItemFn,
        visit_item_impl: ItemImpl,
        visit_local: Local,
        visit_trait_item_fn: TraitItemFn,
        visit_variant: Variant,
    }

    fn visit_item_mod(&mut self, node: &'a syn::ItemMod) {
        self.at.push(name(&node.ident));
        if test_only(&node.attrs) {
            self.tests.insert(self.at.clone());
        } else if node.content.is_some() {
            self.module();
            visit::visit_item_mod(self, node);
        }
        self.at.pop();
    }

    fn visit_item_use(&mut self, node: &'a syn::ItemUse) {
        if !test_only(&node.attrs) {
            let before = node.leading_colon.is_some().then(String::new);
            self.tree(&node.tree, before.into_iter().collect());
        }
    }

    fn visit_item_extern_crate(&mut self, node: &'a syn::ItemExternCrate) {
        let own = node.ident == "self";
        let path = if own { names("crate") } else { vec![String::new(), name(&node.ident)] };
        let alias = node.rename.as_ref().map_or(&node.ident, |(_, alias)| alias);
        self.module().uses.entry(name(alias)).or_default().insert(path);
    }

    fn visit_item_macro(&mut self, node: &'a syn::ItemMacro) {
        if !test_only(&node.attrs) {
            self.module().items.extend(node.ident.as_ref().map(name));
            visit::visit_item_macro(self, node);
        }
    }

    fn visit_macro(&mut self, node: &'a syn::Macro) {
        let called = node.path.segments.last().map(|part| name(&part.ident));
        self.module().macros.extend(called);
        self.visit_path(&node.path);
        self.tokens(node.tokens.clone(), false);
    }

    fn visit_attribute(&mut self, node: &'a syn::Attribute) {
        match &node.meta {
            syn::Meta::NameValue(pair) if pair.path.is_ident("doc") => {
                let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value
                else {
                    return;
                };
                let text = text.value();
                let links = text.match_indices("crate::").map(|(at, _)| {
                    let is_path = |c: &char| c.is_alphanumeric() || ['_', ':'].contains(c);
                    names(text[at..].chars().take_while(is_path).collect::<String>().as_str())
                });
                self.module().docs.extend(links);
            }
            syn::Meta::List(list) => self.tokens(list.tokens.clone(), true),
            _ => visit::visit_attribute(self, node),
        }
    }

    fn visit_path(&mut self, node: &'a syn::Path) {
        let before = node.leading_colon.is_some().then(String::new);
        let parts = node.segments.iter().map(|part| name(&part.ident));
        let path = before.into_iter().chain(parts).collect();
        self.module().paths.insert(path);
        visit::visit_path(self, node);
    }
}
