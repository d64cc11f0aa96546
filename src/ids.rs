//! Positions of ports and queues, as types of their own: they are easily taken for the NIC's numbers.

use std::fmt;

macro_rules! position {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u16);

        impl $name {
            /// The position `at`, from 0.
            #[must_use]
            pub const fn new(at: u16) -> Self {
                Self(at)
            }

            /// The position, from 0, for use as an index.
            #[must_use]
            #[inline(always)]
            pub const fn get(self) -> usize {
                self.0 as usize
            }

            /// The position `at` of a list.
            pub(crate) fn at(at: usize) -> Self {
                Self(u16::try_from(at).unwrap_or(u16::MAX))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

position! {
    /// A port among those that were opened together, in the order in which the builder was told of
    /// them.
    PortIndex
}

position! {
    /// A queue among all that were opened together: those of the first port, then those of the
    /// next. The NIC's own numbers are plain `u32` ([`crate::Granted::queues`]).
    QueueIndex
}
