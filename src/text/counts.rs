//! Numbers of things, as people write them.

/// `1 packet`, `2 packets`: how many of what `one` is called.
#[must_use]
pub fn counted(count: impl TryInto<u64>, one: &str) -> String {
    // What does not fit is not one.
    let count = count.try_into().unwrap_or(u64::MAX);
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {one}{plural}")
}

/// `once`, `2 times`.
#[must_use]
pub fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_something_is_not_several() {
        assert_eq!(counted(0_u32, "packet"), "0 packets");
        assert_eq!(counted(1_usize, "packet"), "1 packet");
        assert_eq!(counted(2_u64, "TX queue"), "2 TX queues");
        assert_eq!([0, 1, 2].map(times), ["0 times", "once", "2 times"]);
    }
}
