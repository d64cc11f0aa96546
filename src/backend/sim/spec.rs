//! `--sim key=value,…` as data.

use super::{NetworkTrouble, NetworkTroubles, Trouble, Troubles};
use crate::error::{Advice, FluxError, Result};
use crate::text::near::did_you_mean;
use crate::text::values::{bit_rate, share, time, with_unit, yes_no};
use std::str::FromStr;
use std::time::Duration;

/// The keys, in the order in which they are documented.
const KEYS: [&str; 13] = [
    "loss",
    "delay",
    "jitter",
    "dup",
    "reorder",
    "corrupt",
    "rate",
    "mtu",
    "queues",
    "tx-queues",
    "seed",
    "zerocopy",
    "realtime",
];

/// Those that are about our link.
const LINK_KEYS: [&str; 8] =
    ["loss", "delay", "jitter", "dup", "reorder", "corrupt", "rate", "mtu"];

/// Seed where none was given.
const SEED: u64 = 1;

/// Queues of a port with [`Trouble::WrongQueue`], which one alone cannot have.
const WRONG_QUEUE_QUEUES: u32 = 2;

/// What our access link and our port are like; with several ports, each of them.
///
/// Loss, duplication, reordering, corruption, delay and jitter happen on the way *to* us, so that
/// each counts once per round trip: `loss=30%` loses 30 % of all answers, and `delay=5ms` adds
/// 5 ms to each round trip. The rate limits both directions, each by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct SimSpec {
    /// Share of packets to us that are lost, 0 to 1.
    pub loss: f64,
    /// Added to each round trip.
    pub delay: Duration,
    /// Up to this much more, evenly distributed.
    pub jitter: Duration,
    /// Share of packets to us that arrive twice, 0 to 1.
    pub duplicate: f64,
    /// Share of packets to us that others overtake, 0 to 1.
    pub reorder: f64,
    /// Share of packets to us with a flipped bit, 0 to 1.
    pub corrupt: f64,
    /// Bits per second of our link, each way.
    pub rate: Option<u64>,
    /// MTU of our link, 576 to 9000. (A frame of 2048 bytes receives up to 1792.)
    pub mtu: u32,
    /// RX queues of our port, 1 to 64. With [`Trouble::WrongQueue`] there are two at least.
    pub queues: u32,
    /// TX queues of our port, 1 to `queues`: its RX queues from this number on only receive. `None`:
    /// as many as RX queues.
    pub tx_queues: Option<u32>,
    /// Seed of all dice. Same seed, same bytes. `None`: the topology file's, else 1.
    pub seed: Option<u64>,
    /// Whether the driver has zero-copy for those who ask for it by name.
    pub zero_copy: bool,
    /// Follow the machine's clock instead of virtual time.
    pub realtime: bool,
    /// What is wrong with our port, its driver and its link.
    pub troubles: Troubles,
    /// What is wrong with the network behind it.
    pub network: NetworkTroubles,
}

impl Default for SimSpec {
    fn default() -> Self {
        Self {
            loss: 0.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            duplicate: 0.0,
            reorder: 0.0,
            corrupt: 0.0,
            rate: None,
            mtu: 1500,
            queues: 1,
            tx_queues: None,
            seed: None,
            zero_copy: true,
            realtime: false,
            troubles: Troubles::NONE,
            network: NetworkTroubles::NONE,
        }
    }
}

impl FromStr for SimSpec {
    type Err = FluxError;

    fn from_str(text: &str) -> Result<Self> {
        let mut spec = Self { queues: 0, ..Self::default() };
        let mut claim = None;
        for (part, key) in Self::parts(text) {
            let value = part.split_once('=').map_or("", |(_, value)| value.trim());
            spec.set(part, key, value)?;
            claim = if key == "zerocopy" { Some(part) } else { claim };
        }
        let astray = spec.troubles.has(Trouble::WrongQueue);
        match spec.queues {
            0 if astray => spec.queues = WRONG_QUEUE_QUEUES,
            0 => spec.queues = 1,
            1 if astray => {
                let why = "there is no wrong queue where there is only one";
                return Err(bad("wrong_queue,queues=1", why).with_hint("write queues=2"));
            }
            _ => {}
        }
        if let Some(tx) = spec.tx_queues.filter(|&tx| tx > spec.queues) {
            let rx = spec.queues;
            let (are, s) = if rx == 1 { ("is", "") } else { ("are", "s") };
            let why = format!("there {are} only {rx} RX queue{s}");
            let error = bad(&format!("tx-queues={tx}"), &why);
            return Err(error.with_hint(format!("add queues={tx}")));
        }
        if spec.troubles.has(Trouble::NoZeroCopy)
            && let Some(part) = claim
        {
            let why =
                "no_zero_copy is a driver that claims zero-copy and does not have it: choose one";
            let error = bad(&format!("no_zero_copy,{part}"), why);
            return Err(error.with_hint("leave out one of the two"));
        }
        Ok(spec)
    }
}

/// What is wrong with `part`.
pub(crate) fn bad(part: &str, rule: &str) -> FluxError {
    FluxError::config(format!("simulator {part}"), rule).with_advice("", Advice::SimulatorWords)
}

/// What is wrong with `part`, and the same value as it was probably meant, or else a right one.
fn bad_value(part: &str, key: &str, rule: &str, meant: Option<String>) -> FluxError {
    let value = meant.as_deref().unwrap_or(match key {
        "delay" | "jitter" => "5ms",
        "rate" => "10mbit",
        "mtu" => "1500",
        "queues" | "tx-queues" => "4",
        "seed" => "7",
        "zerocopy" | "realtime" => "yes",
        _ => "10%",
    });
    bad(part, rule).with_hint(format!("write {key}={value}"))
}

/// `key` is neither a key, nor a trouble, nor one of `more`: the nearest of them, or all.
pub(crate) fn unknown(part: &str, key: &str, more: &[&'static str]) -> FluxError {
    let error = bad(part, &format!("'{key}' is unknown"));
    let words = SimSpec::words().chain(more.iter().copied());
    match did_you_mean(key, words, str::to_owned) {
        Some(hint) => error.with_hint(hint),
        None => {
            let keys = [&KEYS, more].concat().join(", ");
            let troubles = Trouble::ALL.map(Trouble::name).join(", ");
            let network = NetworkTrouble::ALL.map(NetworkTrouble::name).join(", ");
            let all = format!("keys: {keys}; troubles: {troubles}; of the network: {network}; ");
            error.with_advice(all, Advice::SimulatorWords)
        }
    }
}

impl SimSpec {
    /// Every key, and every trouble.
    pub fn words() -> impl Iterator<Item = &'static str> {
        KEYS.into_iter().chain(Self::bare_words())
    }

    /// The words that take no value: every trouble, of our port and of the network.
    pub fn bare_words() -> impl Iterator<Item = &'static str> {
        let network = NetworkTrouble::ALL.map(NetworkTrouble::name);
        Trouble::ALL.map(Trouble::name).into_iter().chain(network)
    }

    /// Whether `word` is a key or a trouble, also by a name of old.
    #[must_use]
    pub fn knows(word: &str) -> bool {
        KEYS.contains(&word) || Self::is_bare(word)
    }

    /// Whether `word` is a trouble, also by a name of old: a word that takes no value.
    #[must_use]
    pub fn is_bare(word: &str) -> bool {
        Trouble::named(word).is_some() || NetworkTrouble::named(word).is_some()
    }

    /// Whether `key` is about our link.
    #[must_use]
    pub fn is_about_link(key: &str) -> bool {
        LINK_KEYS.contains(&key)
    }

    /// The parts of a specification, each with its key.
    pub fn parts(text: &str) -> impl Iterator<Item = (&str, &str)> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| (part, part.split_once('=').map_or(part, |(key, _)| key.trim())))
    }

    /// The seed that was given, else that of the network.
    #[must_use]
    pub fn seed_or(&self, of_network: Option<u64>) -> u64 {
        self.seed.or(of_network).unwrap_or(SEED)
    }

    fn set(&mut self, part: &str, key: &str, value: &str) -> Result<()> {
        let wrong = |rule: &str| bad_value(part, key, rule, None);
        let (ours, network) = (Trouble::named(key), NetworkTrouble::named(key));
        let name = ours.map(Trouble::name).or(network.map(NetworkTrouble::name));
        if let Some(name) = name {
            if !value.is_empty() {
                let error = bad(part, "is a word of its own and takes no value");
                return Err(error.with_hint(format!("write {name}")));
            }
            self.troubles = ours.map_or(self.troubles, |trouble| self.troubles.and(trouble));
            self.network = network.map_or(self.network, |trouble| self.network.and(trouble));
            return Ok(());
        }
        let share = || {
            let meant = || with_unit(value, &["%"], share);
            let rule = "must be a share, 0% to 100% or 0 to 1";
            share(value).ok_or_else(|| bad_value(part, key, rule, meant()))
        };
        let time = || {
            let meant = || with_unit(value, &["ms", "us", "s"], time);
            let rule = "must be a time with its unit up to 1h, such as 5ms or 200us";
            time(value).ok_or_else(|| bad_value(part, key, rule, meant()))
        };
        match key {
            "loss" => self.loss = share()?,
            "dup" => self.duplicate = share()?,
            "reorder" => self.reorder = share()?,
            "corrupt" => self.corrupt = share()?,
            "delay" => self.delay = time()?,
            "jitter" => self.jitter = time()?,
            "rate" => {
                let meant = || with_unit(value, &["mbit", "gbit", "kbit", "bit"], bit_rate);
                let rule = "must be a rate above 0, such as 1gbit, 10mbit or 64kbit";
                let rate = bit_rate(value);
                self.rate = Some(rate.ok_or_else(|| bad_value(part, key, rule, meant()))?);
            }
            "mtu" => {
                let mtu = value.parse().ok().filter(|mtu| (576..=9000).contains(mtu));
                self.mtu = mtu.ok_or_else(|| wrong("must be 576 to 9000 bytes"))?;
            }
            "queues" => {
                let queues = value.parse().ok().filter(|n| (1..=64).contains(n));
                self.queues = queues.ok_or_else(|| wrong("must be 1 to 64"))?;
            }
            "tx-queues" => {
                let queues = value.parse().ok().filter(|n| (1..=64).contains(n));
                self.tx_queues = Some(queues.ok_or_else(|| wrong("must be 1 to 64"))?);
            }
            "seed" => {
                self.seed = Some(value.parse().map_err(|_| wrong("must be a whole number"))?);
            }
            "zerocopy" => {
                self.zero_copy = yes_no(value).ok_or_else(|| wrong("must be yes or no"))?;
            }
            "realtime" => {
                self.realtime = yes_no(value).ok_or_else(|| wrong("must be yes or no"))?;
            }
            _ => return Err(unknown(part, key, &[])),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn every_knob_is_read() {
        let text = "loss=10%,delay=5ms,jitter=1.5ms,dup=1%,reorder=2%,corrupt=0.5%,rate=1gbit,\
            queues=4,tx-queues=3,seed=7,realtime,mtu=1400,zerocopy=no";
        let spec: SimSpec = text.parse().unwrap();
        let expected = SimSpec {
            loss: 0.1,
            delay: Duration::from_millis(5),
            jitter: Duration::from_micros(1500),
            duplicate: 0.01,
            reorder: 0.02,
            corrupt: 0.005,
            rate: Some(1_000_000_000),
            mtu: 1400,
            queues: 4,
            tx_queues: Some(3),
            seed: Some(7),
            zero_copy: false,
            realtime: true,
            troubles: Troubles::NONE,
            network: NetworkTroubles::NONE,
        };
        assert_eq!(spec, expected);
        assert_eq!("".parse::<SimSpec>().unwrap(), SimSpec::default());
    }

    #[test]
    fn a_bad_key_or_value_is_named() {
        for bad in [
            "loss=110%",
            "loss=",
            "loss=x",
            "delay=5",
            "delay=-1ms",
            "delay=inf",
            "rate=0gbit",
            "rate=fast",
            "queues=0",
            "queues=65",
            "tx-queues=0",
            "tx-queues=2",
            "mtu=100",
            "seed=x",
            "realtime=maybe",
            "colour=red",
            "starved=yes",
            "wrong_queues",
            "wrong_queue,queues=1",
            "no_zero_copy,zerocopy=no",
            "dup=1e-3",
            "jitter=2h",
        ] {
            let error = bad.parse::<SimSpec>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().starts_with(&format!("simulator {bad}: ")), "{error}");
        }
        let error = "colour=red".parse::<SimSpec>().unwrap_err();
        assert!(error.to_string().contains("'colour'"), "{error}");
        assert!(SimSpec::words().all(|word| error.hint().unwrap().contains(word)), "{error:?}");
    }

    #[test]
    fn what_was_probably_meant_is_told_once() {
        for (text, hint) in [
            ("los=3%", "did you mean loss?"),
            ("stuck", "did you mean stuck_tx?"),
            ("queue=4", "did you mean queues?"),
            ("loss=3", "write loss=3%"),
            ("delay=5", "write delay=5ms"),
            ("jitter=7", "write jitter=7ms"),
            ("rate=1gb", "write rate=1gbit"),
            ("loss=", "write loss=10%"),
            ("delay=-1ms", "write delay=5ms"),
            ("rate=fast", "write rate=10mbit"),
            ("mtu=100", "write mtu=1500"),
            ("queues=0", "write queues=4"),
            ("tx-queues=65", "write tx-queues=4"),
            ("tx-queues=3", "add queues=3"),
            ("seed=x", "write seed=7"),
            ("realtime=maybe", "write realtime=yes"),
            ("starved=yes", "write starved"),
        ] {
            let error = text.parse::<SimSpec>().unwrap_err();
            assert_eq!(error.hint(), Some(hint), "{error}");
        }
    }

    #[test]
    fn the_parts_of_a_specification_are_known_by_their_keys() {
        let parts: Vec<_> = SimSpec::parts(" loss = 3% ,,starved,seed=7").collect();
        assert_eq!(parts, [("loss = 3%", "loss"), ("starved", "starved"), ("seed=7", "seed")]);
    }

    #[test]
    fn troubles_are_words_that_go_with_keys_and_with_each_other() {
        for trouble in Trouble::ALL {
            let spec: SimSpec = format!("seed=7,{}", trouble.name()).parse().unwrap();
            assert_eq!((spec.seed, spec.troubles), (Some(7), trouble.into()));
            assert_eq!(spec.queues, if trouble == Trouble::WrongQueue { 2 } else { 1 });
        }
        let all = Trouble::ALL.map(Trouble::name).join(",");
        let spec: SimSpec = format!("{all},queues=3").parse().unwrap();
        assert_eq!((spec.troubles, spec.queues), (Trouble::ALL.into_iter().collect(), 3));
    }

    #[test]
    fn troubles_of_the_network_are_words_too() {
        let all = NetworkTrouble::ALL.map(NetworkTrouble::name).join(",");
        let spec: SimSpec = format!("{all},starved").parse().unwrap();
        assert_eq!(spec.network, NetworkTrouble::ALL.into_iter().collect());
        assert_eq!(spec.troubles, Trouble::Starved.into());
        let error = "icmp-limit=yes".parse::<SimSpec>().unwrap_err();
        assert_eq!(error.hint(), Some("write icmp_limit"));
        assert!(SimSpec::bare_words().all(SimSpec::is_bare) && !SimSpec::is_bare("loss"));
    }

    #[test]
    fn what_contradicts_a_trouble_is_refused_in_any_order() {
        for (text, why) in [
            ("queues=1,wrong_queue", "there is only one"),
            ("zerocopy=no,no_zero_copy", "claims zero-copy"),
            ("no_zero_copy,zerocopy=yes", "claims zero-copy"),
        ] {
            let error = text.parse::<SimSpec>().unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn a_seed_that_is_given_is_taken_before_that_of_the_network() {
        let spec: SimSpec = "seed=3,queues=2,realtime,starved".parse().unwrap();
        assert_eq!((spec.queues, spec.seed_or(Some(9))), (2, 3));
        assert_eq!(SimSpec::default().seed_or(Some(9)), 9);
        assert_eq!(SimSpec::default().seed_or(None), 1);
    }
}
