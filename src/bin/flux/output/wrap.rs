//! Sentences broken into lines.

/// `text` in lines of at most `width` columns, the second and later ones indented by `indent`.
/// Words longer than that stay whole.
pub fn wrap(text: &str, width: Option<usize>, indent: usize) -> String {
    let width = width.unwrap_or(usize::MAX);
    let mut lines = String::with_capacity(text.len() + 8);
    let mut column = 0_usize;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column.saturating_add(1 + length) > width {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_to_the_width_and_later_ones_are_indented() {
        let text = "best: busy, batch 64: 5.31 Mpps, 12 % above the next";
        assert_eq!(
            wrap(text, Some(24), 2),
            "best: busy, batch 64:\n  5.31 Mpps, 12 % above\n  the next\n"
        );
        assert_eq!(wrap(text, None, 2), format!("{text}\n"));
        assert_eq!(wrap("overlong words", Some(3), 1), "overlong\n words\n");
    }
}
