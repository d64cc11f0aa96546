//! The word that was probably meant.

/// Most words that are suggested.
const MOST: usize = 3;

/// Those of `words` that `typed` is probably a slip of, the nearest first; at most three.
#[must_use]
pub fn near<'a>(typed: &str, words: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let typed = typed.to_lowercase();
    let mut found: Vec<(usize, &str)> = words
        .into_iter()
        .filter_map(|word| {
            let lower = word.to_lowercase();
            let slips = slips(&typed, &lower);
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

/// Letters that were added, left out, replaced or swapped with their neighbour (optimal string
/// alignment).
fn slips(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    let mut cost = vec![0; (a.len() + 1) * width];
    let at = |i: usize, j: usize| i * width + j;
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            cost[at(i, j)] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = cost[at(i - 1, j - 1)] + usize::from(a[i - 1] != b[j - 1]);
                let skipped = cost[at(i - 1, j)].min(cost[at(i, j - 1)]) + 1;
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let plain = replaced.min(skipped);
                if swapped { plain.min(cost[at(i - 2, j - 2)] + 1) } else { plain }
            };
        }
    }
    cost[at(a.len(), b.len())]
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
