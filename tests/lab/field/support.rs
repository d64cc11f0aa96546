//! What the cases share: runs of `flux ping` and of the kernel's ping at the same time.

use crate::lab;
use fluxnet::tools::ping::{Event, Outcome, Plan, Summary, run};
use fluxnet::tools::session::SessionEvent;
use fluxnet::tools::{Control, Env};
use std::time::Duration;

/// A run that is over.
pub struct Done {
    pub outcome: Outcome,
    pub events: Vec<Event>,
}

impl Done {
    pub fn summaries(&self) -> Vec<&Summary> {
        let of = self.events.iter().filter_map(|event| match event {
            Event::Summary(summary) => Some(summary),
            _ => None,
        });
        of.collect()
    }

    /// Addresses of next hops that moved.
    pub fn moved(&self) -> Vec<&str> {
        let of = self.events.iter().filter_map(|event| match event {
            Event::Neighbour(found) => found.before.as_ref().map(|_| found.mac.as_str()),
            _ => None,
        });
        of.collect()
    }

    /// The interfaces that routes moved to; `None`: to none.
    pub fn routes(&self) -> Vec<Option<&str>> {
        let of = self.events.iter().filter_map(|event| match event {
            Event::Session(SessionEvent::Route(moved)) => Some(moved.interface.as_deref()),
            _ => None,
        });
        of.collect()
    }
}

/// `count` probes to each target, ten a second.
pub fn plan(targets: &[&str], count: u64) -> Plan {
    Plan {
        count: Some(count),
        interval: Duration::from_millis(100),
        ..Plan::new(targets.iter().copied())
    }
}

/// Pings as `plan` says. `act` is called with the number of each reply.
pub fn ping(plan: &Plan, mut act: impl FnMut(u64)) -> Done {
    let mut events = Vec::new();
    let mut env = Env::kernel().unwrap();
    let outcome = run(plan, &mut env, &Control::default(), &mut |event| {
        if let Event::Reply(reply) = &event {
            act(reply.seq);
        }
        events.push(event);
    });
    Done { outcome: outcome.unwrap(), events }
}

/// Pings beside the kernel's own ping, and changes the network at the `at`th reply. The kernel's ping
/// sends as many probes as often. Asserts that no more replies are lost than the kernel's ping loses,
/// plus two.
#[track_caller]
pub fn beside_the_kernels(target: &str, (at, count): (u64, u64), change: impl Fn()) -> Done {
    let line = format!("ping -n -c {count} -i 0.1 -W 1 {target}");
    let (done, text) = std::thread::scope(|scope| {
        let namespace = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let theirs = scope.spawn(move || {
            use std::os::fd::AsFd;
            lab::inside(namespace.as_fd(), || match lab::try_run(&line) {
                Ok(text) | Err(text) => text,
            })
        });
        let mut changed = false;
        let done = ping(&plan(&[target], count), |seq| {
            if seq >= at && !std::mem::replace(&mut changed, true) {
                change();
            }
        });
        assert!(changed, "{:?}", done.summaries());
        (done, theirs.join().unwrap())
    });
    let received = text
        .split(" packets transmitted, ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next().and_then(|number| number.parse::<u64>().ok()));
    let theirs = received.unwrap_or_else(|| panic!("{text}"));
    let ours = done.summaries()[0].received;
    assert!(
        ours + 2 >= theirs,
        "{ours} of ours, {theirs} of the kernel's:\n{text}\n{:#?}",
        done.events
    );
    done
}
