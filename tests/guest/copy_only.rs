//! NICs without zero-copy, or on kernels where their drivers have none: by name it is refused, else
//! packets are copied, and both are said.

use crate::ends::{End, assert_accounted, exchange};
use crate::guest::{PAIR, driver, open, set_up, settle};
use crate::lab;
use fluxnet::{AttachMode, Attached, BindMode, ErrorKind, error::Advice};

/// Whether the driver has native XDP, too.
fn is_native() -> bool {
    driver() != "e1000e"
}

#[test]
fn zero_copy_by_name_is_refused_with_the_next_step() {
    let builder = open(PAIR[0], BindMode::ZeroCopy).attach(AttachMode::Auto);
    let error = builder.build_engine().err().expect("no zero-copy here");
    println!("{error:?}");
    let advice = if is_native() { Advice::CopyMode } else { Advice::CopyOrNativeMode };
    assert_eq!((error.kind(), error.advice()), (ErrorKind::Unsupported, Some(advice)), "{error:?}");
}

#[test]
fn by_default_packets_are_copied_and_a_note_says_so() {
    let [one, other] = PAIR;
    let either = |name| open(name, BindMode::Auto).attach(AttachMode::Auto);
    let mut ends = [End::open(either(one), one, other), End::open(either(other), other, one)];
    for end in &ends {
        let granted = end.engine.granted();
        println!("{granted:#?}");
        assert!(!granted.zero_copy);
        assert_eq!(granted.driver, Some(driver()));
        let (mode, word) = if is_native() {
            (Attached::Native, "copy mode: ")
        } else {
            (Attached::Skb, "attached in skb mode: ")
        };
        assert_eq!(granted.attach, mode);
        assert!(granted.notes.iter().any(|note| note.starts_with(word)), "{:?}", granted.notes);
    }
    settle(&PAIR);
    exchange(&mut ends, 500);
    assert_accounted(&ends);
}

#[test]
fn after_the_link_was_down_traffic_goes_on() {
    if driver() == "vmxnet3" {
        return lab::skip("vmxnet3 (7.3) no longer runs its XDP program then");
    }
    let [one, other] = PAIR;
    let copied = |name| open(name, BindMode::Copy).attach(AttachMode::Auto);
    let mut ends = [End::open(copied(one), one, other), End::open(copied(other), other, one)];
    settle(&PAIR);
    exchange(&mut ends, 200);
    set_up(one, false);
    for _ in 0..20 {
        ends.iter_mut().for_each(End::turn_in_trouble);
    }
    set_up(one, true);
    settle(&PAIR);
    exchange(&mut ends, 200);
    assert_accounted(&ends);
}
