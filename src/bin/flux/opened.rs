//! The lines on standard error about a run's sockets: what was granted, neighbours, lost packets.

use fluxnet::text::counts::counted;
use fluxnet::tools::probe::{NeighbourFound, SendError, TargetRoute};
use fluxnet::tools::session::{Opened, SessionEvent, WrongQueue};
use std::fmt::Write;

/// What is not as good as it could be; with `verbose` all that was granted, for each of several
/// interfaces, and how each target is reached.
pub fn start(
    (opened, all): (&Opened, &[Opened]),
    targets: &[TargetRoute],
    verbose: bool,
) -> String {
    let others = all.iter().skip(1);
    if !verbose {
        return brief(opened) + &others.map(brief).collect::<String>();
    }
    let mut text = granted(opened);
    text.extend(others.map(granted));
    text.extend(opened.notes.iter().map(note));
    for target in targets.iter().filter(|_| verbose) {
        let via = target.gateway.map(|hop| format!(" via {hop}")).unwrap_or_default();
        let by = if all.is_empty() { String::new() } else { format!(" by {}", target.interface) };
        let _ = writeln!(text, "{}: from {}{by}{via}", target.address, target.source);
    }
    text
}

/// A line for each thing that makes a run slower, less exact or deaf. Pages alone do none of these to
/// somebody who did not ask for them.
pub fn brief(opened: &Opened) -> String {
    let pages = |note: &&String| note.contains("huge pages");
    let mut lines: Vec<String> = opened.notes.iter().filter(|note| !pages(note)).cloned().collect();
    let name = &opened.interface;
    if opened.attach == "skb" && !lines.iter().any(|line| line.contains("skb")) {
        lines.push(format!("skb mode on {name}: each packet costs more time than in native mode"));
    }
    if opened.rx_stamp == "user_space" {
        lines.push(format!("round-trip times on {name} include the way to user space"));
    }
    lines.iter().map(note).collect()
}

fn note(text: &String) -> String {
    format!("note: {text}\n")
}

fn granted(opened: &Opened) -> String {
    let list = |queues: &[u32]| queues.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let sending = match opened.tx_queues.as_deref() {
        None => String::new(),
        Some([]) => " (none sends)".to_owned(),
        Some(some) => format!(" (sending on {})", list(some)),
    };
    format!(
        "{}: driver {}, {} attach, {}, queue{} {}{sending}, rings of {}, {} frames of {} bytes in {} pages, \
         {} polling, clocks: tx {} ({}), rx {} ({})\n",
        opened.interface,
        opened.driver.as_deref().unwrap_or("unknown"),
        opened.attach,
        if opened.zero_copy { "zero-copy" } else { "copy" },
        if opened.queues.len() == 1 { "" } else { "s" },
        list(&opened.queues),
        opened.ring_size,
        opened.frames,
        opened.frame_size,
        if opened.pages == "4k" { "ordinary" } else { "huge" },
        opened.poll,
        opened.tx_clock,
        place(&opened.tx_stamp),
        opened.rx_clock,
        place(&opened.rx_stamp),
    )
}

/// Where a stamp is taken.
fn place(stamp: &str) -> &str {
    match stamp {
        "user_space" => "user space, before the kick",
        "xdp_program" => "XDP program",
        other => other,
    }
}

/// A next hop's address that had to be asked for; with `verbose` also one that was known.
pub fn neighbour(found: &NeighbourFound, verbose: bool) -> String {
    let NeighbourFound { address, mac, took_us, cached, before } = found;
    if let Some(before) = before {
        return format!("note: {address} is at {mac} now; it was at {before}\n");
    }
    match (cached, verbose) {
        (true, false) => String::new(),
        (true, true) => format!("{address} is at {mac}\n"),
        (false, _) => format!(
            "{address} is at {mac}: found in {} ms (not counted in the round-trip times)\n",
            millis(*took_us)
        ),
    }
}

/// A target that cannot be probed.
pub fn send_error(failed: &SendError) -> String {
    let hint = failed.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    let SendError { target, error, .. } = failed;
    // It may say itself what cannot be done.
    let says_what = ["cannot ", "target "].iter().any(|word| error.starts_with(word));
    match says_what && error.contains(target.as_str()) {
        true => format!("{error}{hint}\n"),
        false => format!("cannot send to {target}: {error}{hint}\n"),
    }
}

/// What happened to the sockets.
pub fn session(event: &SessionEvent) -> String {
    match event {
        SessionEvent::Interface(change) => format!("note: {}\n", change.text),
        SessionEvent::Route(moved) => format!("note: {}\n", moved.text),
        SessionEvent::Note(note) => format!("note: {}\n", note.text),
        SessionEvent::WrongQueue(WrongQueue { queue, packets }) => {
            format!(
                "answers on queue {queue}, where no socket is bound: {packets}; use --queue all\n"
            )
        }
    }
}

/// What came and answered none of our probes.
pub fn ignored(foreign: u64, malformed: u64) -> String {
    format!("ignored: {} of others, {malformed} malformed\n", counted(foreign, "packet"))
}

/// Milliseconds, to the microsecond.
pub fn millis(us: f64) -> String {
    format!("{:.3}", us / 1000.0)
}
