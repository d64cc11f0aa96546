//! The word that was probably meant.

/// Most words that are suggested.
const MOST: usize = 3;
/// Bytes of a word that may be a slip of another: comparing takes length times length.
const LONGEST: usize = 64;

/// Those of `words` that `typed` is probably a slip of, the nearest first; at most three.
#[must_use]
pub fn near<'a>(typed: &str, words: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    if typed.len() > LONGEST {
        return Vec::new();
    }
    let typed = typed.to_lowercase();
    let mut found: Vec<(usize, &str)> = words
        .into_iter()
        .filter_map(|word| {
            let lower = word.to_lowercase();
            // Letters that were added, left out, replaced or swapped with their neighbour.
            let slips = strsim::osa_distance(&typed, &lower);
            let begun = typed.len() >= 3 && lower.starts_with(&typed);
            (slips <= allowed(&lower) || begun).then_some((slips, word))
        })
        .collect();
    found.sort_by_key(|&(slips, _)| slips);
    // A far one says nothing beside one that is nearly right.
    let best = found.first().map_or(0, |&(slips, _)| slips);
    found.retain(|&(slips, _)| slips <= best + 1);
    found.truncate(MOST);
    found.into_iter().map(|(_, word)| word).collect()
}

/// `did you mean loss?`, or `did you mean loss or delay?`; `None` where no word is near.
#[must_use]
pub fn did_you_mean<'a>(
    typed: &str,
    words: impl IntoIterator<Item = &'a str>,
    with: impl Fn(&str) -> String,
) -> Option<String> {
    let near: Vec<String> = near(typed, words).into_iter().map(with).collect();
    (!near.is_empty()).then(|| format!("did you mean {}?", near.join(" or ")))
}

/// How many slips a word of this length forgives.
fn allowed(word: &str) -> usize {
    match word.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        6..=9 => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_nonsense_finds_none() {
        let words = ["loss", "delay", "jitter", "dup", "reorder", "rate", "queues", "tx-queues"];
        let table = [
            ("los", &["loss"][..]),
            ("lsos", &["loss"]),
            ("Delay", &["delay"]),
            ("jiter", &["jitter"]),
            ("queue", &["queues"]),
            ("que", &["queues"]),
            ("colour", &[]),
            ("", &[]),
            ("x", &[]),
        ];
        for (typed, want) in table {
            assert_eq!(near(typed, words), want, "{typed}");
        }
    }

    #[test]
    fn the_nearest_come_first_and_are_few() {
        let words = ["--count", "--counts", "--mount", "--amount", "--county"];
        let near = near("--count", words);
        assert_eq!((near[0], near.len()), ("--count", 3));
        let text = did_you_mean("los", ["loss", "lost"], |word| format!("'{word}'"));
        assert_eq!(text.as_deref(), Some("did you mean 'loss' or 'lost'?"));
        assert_eq!(did_you_mean("frob", ["loss"], str::to_owned), None);
    }
}
