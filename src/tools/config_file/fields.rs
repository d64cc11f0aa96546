//! Reading TOML tables key by key, with the place of each.

use super::{Read, SyntaxError};
use crate::text::near::did_you_mean;
use std::fmt::Display;
use std::ops::RangeInclusive;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something, and its offset in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed<T> {
    pub(crate) at: usize,
    pub(crate) value: T,
}

/// A word of the file.
pub(crate) type Word<'t> = Placed<&'t str>;

type Value<'t> = Spanned<DeValue<'t>>;

fn at(value: &Value<'_>) -> usize {
    value.span().start
}

/// Text and its offset.
fn word<'t>(value: &'t Value<'_>) -> Option<Word<'t>> {
    Some(Placed { at: at(value), value: value.get_ref().as_str()? })
}

/// What a value is instead of what it should be.
fn wrong(key: &str, value: &Value<'_>, rule: impl Display, example: &str) -> SyntaxError {
    let what = match value.get_ref() {
        DeValue::String(text) => format!("{key} = \"{text}\" is not {rule}"),
        DeValue::Boolean(flag) => format!("{key} = {flag} is not {rule}"),
        DeValue::Integer(number) => format!("{key} = {number} is not {rule}"),
        other => format!("the {} at {key} is not {rule}", other.type_str()),
    };
    SyntaxError::at(at(value), what, format!("write it as {key} = {example}"))
}

/// A table whose keys are all known.
pub(crate) struct Fields<'t> {
    /// As it is written in the file, such as `[[link]]`.
    pub(crate) title: &'static str,
    /// Where it is.
    pub(crate) at: usize,
    table: &'t DeTable<'t>,
}

impl<'t> Fields<'t> {
    pub(crate) fn new(
        title: &'static str,
        at: usize,
        table: &'t DeTable<'t>,
        known: &[&str],
    ) -> Read<Self> {
        // The map sorts by name; the first in the file is the one to name.
        let unknown = table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
        if let Some(key) = unknown.min_by_key(|key| key.span().start) {
            let what = format!("unknown key '{}' in {title}", key.get_ref());
            let all = format!("known keys: {}", known.join(", "));
            let near =
                did_you_mean(key.get_ref(), known.iter().copied(), |near| format!("'{near}'"));
            let hint = match near {
                Some(near) => format!("{near} {all}"),
                None => all,
            };
            return Err(SyntaxError::at(key.span().start, what, hint));
        }
        Ok(Self { title, at, table })
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'t Value<'t>> {
        self.table.get(key)
    }

    /// The offset of a key's value, or of the table.
    pub(crate) fn place(&self, key: &str) -> usize {
        self.get(key).map_or(self.at, at)
    }

    /// All keys and values, in the order of the file.
    pub(crate) fn all(&self) -> Vec<(Word<'t>, &'t Value<'t>)> {
        let entries = self.table.iter().map(|(key, value)| {
            (Placed { at: key.span().start, value: key.get_ref().as_ref() }, value)
        });
        let mut entries: Vec<_> = entries.collect();
        entries.sort_by_key(|(key, _)| key.at);
        entries
    }

    /// A key that there must be.
    pub(crate) fn required<T>(&self, key: &str, value: Option<T>, example: &str) -> Read<T> {
        value.ok_or_else(|| {
            let what = format!("{} without {key}", self.title);
            SyntaxError::at(self.at, what, format!("add {key} = {example}"))
        })
    }

    /// `true` or `false`; false where there is nothing.
    pub(crate) fn flag(&self, key: &str) -> Read<bool> {
        Ok(self.maybe(key)?.unwrap_or(false))
    }

    /// `true` or `false`.
    pub(crate) fn maybe(&self, key: &str) -> Read<Option<bool>> {
        let flag = |value: &Value<'_>| {
            value.get_ref().as_bool().ok_or_else(|| wrong(key, value, "true or false", "true"))
        };
        self.get(key).map(flag).transpose()
    }

    /// A whole number within bounds.
    pub(crate) fn whole(&self, key: &str, bounds: RangeInclusive<u64>) -> Read<Option<u64>> {
        let (least, most) = (*bounds.start(), *bounds.end());
        let rule = format!("a whole number from {least} to {most}");
        let read = |value: &Value<'_>| {
            let number = whole(value).filter(|number| bounds.contains(number));
            number.ok_or_else(|| wrong(key, value, &rule, &least.max(1).to_string()))
        };
        self.get(key).map(read).transpose()
    }

    /// A word that `parse` understands.
    pub(crate) fn parsed<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Option<T>,
        rule: &str,
        example: &str,
    ) -> Read<Option<T>> {
        let read = |value: &Value<'_>| {
            let parsed = value.get_ref().as_str().and_then(&parse);
            parsed.ok_or_else(|| wrong(key, value, rule, example))
        };
        self.get(key).map(read).transpose()
    }

    /// One of these words.
    pub(crate) fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Read<Option<T>> {
        let list: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let rule = format!("one of {}", list.join(", "));
        let find = |text: &str| words.iter().find(|(word, _)| *word == text).map(|(_, it)| *it);
        let example = list.first().map_or("", String::as_str);
        self.parsed(key, find, &rule, example)
    }

    /// A word or a list of words.
    pub(crate) fn words(&self, key: &str, example: &str) -> Read<Option<Vec<Word<'t>>>> {
        self.get(key).map(|value| words(key, value, example)).transpose()
    }

    /// The tables of `[[key]]`, each with its place.
    pub(crate) fn tables(&self, key: &str) -> Read<Vec<(usize, &'t DeTable<'t>)>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let table = |value: &'t Value<'t>| Some((at(value), value.get_ref().as_table()?));
        let tables =
            value.get_ref().as_array().map(|list| list.iter().map(table).collect::<Option<_>>());
        tables.flatten().ok_or_else(|| {
            let what = format!("{key} is not a list of tables");
            SyntaxError::at(at(value), what, format!("begin each with a line [[{key}]]"))
        })
    }

    /// The table of `key`.
    pub(crate) fn table(&self, key: &str, example: &str) -> Read<Option<(usize, &'t DeTable<'t>)>> {
        let read = |value: &'t Value<'t>| {
            let table = value.get_ref().as_table().map(|table| (at(value), table));
            table.ok_or_else(|| wrong(key, value, "a table", example))
        };
        self.get(key).map(read).transpose()
    }
}

/// A word or a list of words.
pub(crate) fn words<'t>(key: &str, value: &'t Value<'t>, example: &str) -> Read<Vec<Word<'t>>> {
    if let Some(one) = word(value) {
        return Ok(vec![one]);
    }
    let rule = "a word or a list of words";
    let list = value.get_ref().as_array().ok_or_else(|| wrong(key, value, rule, example))?;
    let each = list.iter().map(|value| word(value).ok_or_else(|| wrong(key, value, rule, example)));
    each.collect()
}

/// A whole number, not below 0.
pub(crate) fn whole(value: &Value<'_>) -> Option<u64> {
    let number = value.get_ref().as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}
