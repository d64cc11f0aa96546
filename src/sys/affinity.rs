//! Which CPUs a thread may run on.

use super::check;
use std::io;

const BITS: usize = libc::c_ulong::BITS as usize;

/// CPUs that a mask is given room for at most; the kernel's own limit is 8192.
const MOST_CPUS: usize = 1 << 16;

/// The CPUs that the calling thread may run on, in ascending order.
#[cfg(feature = "tools")]
pub(crate) fn allowed() -> io::Result<Vec<usize>> {
    let mut words = vec![0; 1024 / BITS];
    loop {
        let (bytes, place) = (size_of_val(words.as_slice()), words.as_mut_ptr().cast());
        // SAFETY: writes at most `bytes` bytes of `words`, which is ours.
        match check(unsafe { libc::sched_getaffinity(0, bytes, place) }) {
            Ok(_) => return Ok(cpus(&words)),
            // The machine has more CPUs than there is room for.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                if words.len() * BITS >= MOST_CPUS {
                    return Err(error);
                }
                words = vec![0; words.len() * 2];
            }
            Err(error) => return Err(error),
        }
    }
}

/// Keeps the calling thread on one CPU. EINVAL when there is no such CPU, or not for us.
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= MOST_CPUS {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut words: Vec<libc::c_ulong> = vec![0; cpu / BITS + 1];
    words[cpu / BITS] = 1 << (cpu % BITS);
    let (bytes, place) = (size_of_val(words.as_slice()), words.as_ptr().cast());
    // SAFETY: reads `bytes` bytes of `words`; changes this thread only.
    check(unsafe { libc::sched_setaffinity(0, bytes, place) })?;
    Ok(())
}

#[cfg(feature = "tools")]
/// The numbers of the bits that are set.
fn cpus(words: &[libc::c_ulong]) -> Vec<usize> {
    let bits = words.iter().enumerate().flat_map(|(at, &word)| {
        (0..BITS).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at * BITS + bit)
    });
    bits.collect()
}

#[cfg(feature = "tools")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_that_cpu_alone() {
        let all = allowed().unwrap();
        let last = *all.last().unwrap();
        let after = std::thread::spawn(move || {
            pin(last).unwrap();
            allowed().unwrap()
        });
        assert_eq!(after.join().unwrap(), [last]);
        assert_eq!(allowed().unwrap(), all, "other threads are left alone");
    }

    #[test]
    fn a_cpu_that_is_not_there_is_an_error() {
        for cpu in [MOST_CPUS - 1, usize::MAX] {
            assert_eq!(pin(cpu).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        }
    }

    #[test]
    fn bits_of_later_words_count_on() {
        assert_eq!(cpus(&[0b101, 0, 1]), [0, 2, 2 * BITS]);
    }
}
