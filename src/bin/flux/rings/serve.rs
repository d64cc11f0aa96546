//! `--metrics`: each scrape is a look.
//!
//! ```text
//!   HTTP server, on its threads ─▶ ask ─▶ this thread: look ─▶ sample ─▶ text ─▶ answer
//! ```

use super::metrics::Exporter;
use fluxnet::FluxError;
use fluxnet::tools::rings::{Clock, Event, Sampler};
use fluxnet::tools::{Control, http};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How long a simulated machine in real time runs before the next request is looked for.
const STEP: Duration = Duration::from_millis(10);

type Text = Result<String, String>;

/// What this thread is asked for.
enum Ask {
    /// To look, and answer with the text.
    Look(Sender<Text>),
    /// To see what the control says.
    Wake,
}

/// Serves on `listener` until `control` says stop. `serving` gets the address once it does; `told`
/// gets notes and samples, for people.
///
/// # Errors
/// When the first look fails, which is taken at once; later ones are answered with the error.
pub fn serve(
    sampler: &mut Sampler<'_>,
    exporter: &mut Exporter,
    listener: TcpListener,
    control: &Arc<Control>,
    serving: &mut dyn FnMut(SocketAddr),
    told: &mut dyn FnMut(Event),
) -> Result<(), FluxError> {
    text(sampler, exporter, told)?;
    let (ask, asked) = channel();
    let wake = ask.clone();
    control.on_request(move || drop(wake.send(Ask::Wake)));
    // Dropped before `asked`: who waits for an answer then has lost it.
    let server = http::serve(listener, move || {
        let gone = |_| "the server has ended".to_owned();
        let (answer, answered) = channel();
        ask.send(Ask::Look(answer)).map_err(|_| gone(()))?;
        answered.recv().map_err(|_| gone(()))?
    })?;
    serving(server.address());
    let mut before = Instant::now();
    while !control.is_stopped() {
        let Some(answer) = next(sampler, &asked, control)? else { continue };
        if sampler.clock() == Clock::Virtual {
            sampler.advance(before.elapsed(), control)?;
        }
        before = Instant::now();
        let text = text(sampler, exporter, told).map_err(|error| error.to_string());
        if let Err(text) = &text {
            told(Event::Note { text: text.clone() });
        }
        // Who does not wait any more has lost it.
        let _ = answer.send(text);
    }
    Ok(())
}

/// The next request, if one came.
fn next(
    sampler: &mut Sampler<'_>,
    asked: &Receiver<Ask>,
    control: &Control,
) -> Result<Option<Sender<Text>>, FluxError> {
    let ask = if sampler.clock() == Clock::Realtime {
        // Its application runs in here alone.
        sampler.advance(STEP, control)?;
        asked.try_recv().ok()
    } else {
        asked.recv().ok()
    };
    Ok(match ask {
        Some(Ask::Look(answer)) => Some(answer),
        Some(Ask::Wake) | None => None,
    })
}

/// Looks, and makes the text of what it sees.
fn text(
    sampler: &mut Sampler<'_>,
    exporter: &mut Exporter,
    told: &mut dyn FnMut(Event),
) -> Result<String, FluxError> {
    sampler.look()?;
    sampler.notes().into_iter().for_each(|text| told(Event::Note { text }));
    let Some(sample) = sampler.sample() else { return Ok(String::new()) };
    let text = exporter.text(&sample)?;
    told(Event::Sample(Box::new(sample)));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fake, NETNS};
    use super::super::metrics::tests::parsed;
    use super::*;
    use fluxnet::tools::rings::Selection;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    /// How long to wait for an answer that must come.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn request(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn scrape(address: SocketAddr) -> std::collections::HashMap<String, f64> {
        let answer = request(address);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        parsed(body)
    }

    /// Serves a made-up machine while `client` talks to it; how the server ended, and its notes.
    fn with_server(
        mut fake: Fake,
        client: impl FnOnce(SocketAddr),
    ) -> (Result<(), FluxError>, Vec<String>) {
        let listener = http::bind(http::parse_address("0").unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let control = Arc::new(Control::default());
        std::thread::scope(|scope| {
            let serving = scope.spawn(|| {
                let mut notes = Vec::new();
                let mut told = |event| {
                    if let Event::Note { text } = event {
                        notes.push(text);
                    }
                };
                let mut exporter = Exporter::new(Some(NETNS));
                let mut sampler = Sampler::new(&mut fake, &Selection::default()).unwrap();
                let result =
                    serve(&mut sampler, &mut exporter, listener, &control, &mut |_| (), &mut told);
                (result, notes)
            });
            client(address);
            control.stop();
            serving.join().unwrap()
        })
    }

    #[test]
    fn each_scrape_is_a_look_and_counters_rise_over_the_wrap() {
        let name = r#"flux_ring_produced_total{interface="fake0",queue="0",ring="rx"}"#;
        let (result, notes) = with_server(Fake::new(), |address| {
            let first = scrape(address);
            let info = r#"{interface="fake0",queue="0",comm="made \"up\"",mode="zerocopy"}"#;
            assert_eq!(first.get(&format!("flux_xsk_info{info}")), Some(&1.0), "{first:#?}");
            assert_eq!(first["flux_rings_incomplete"], 1.0);
            for step in 1..=3 {
                assert_eq!(scrape(address)[name], first[name] + 1000.0 * f64::from(step));
            }
            assert!(first[name] + 3000.0 > f64::from(u32::MAX));
        });
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(notes, ["a better source is not used: this one is made up"]);
    }

    #[test]
    fn a_look_that_fails_is_an_answer_and_not_the_end() {
        let fake = Fake { fails_at: Some(3), ..Fake::new() };
        let (result, notes) = with_server(fake, |address| {
            assert!(!scrape(address).is_empty());
            let answer = request(address);
            assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
            assert!(answer.contains("this look was to fail"), "{answer}");
            assert!(!scrape(address).is_empty());
        });
        assert!(result.is_ok(), "{result:?}");
        assert!(notes.iter().any(|note| note.contains("this look was to fail")), "{notes:?}");
    }

    #[test]
    fn a_machine_that_cannot_be_looked_at_is_an_error_at_once() {
        let fake = Fake { fails_at: Some(1), ..Fake::new() };
        let (result, _) = with_server(fake, |_| {});
        assert!(result.is_err_and(|error| error.to_string().contains("cannot look")));
    }

    #[test]
    fn in_real_time_the_machine_runs_on_between_scrapes() {
        let fake = Fake { clock: Clock::Realtime, ..Fake::new() };
        let (result, _) = with_server(fake, |address| {
            // Nobody asks, and it runs.
            let first = scrape(address)["flux_rings_incomplete"];
            assert_eq!((first, scrape(address)["flux_rings_incomplete"]), (1.0, 1.0));
        });
        assert!(result.is_ok(), "{result:?}");
    }
}
