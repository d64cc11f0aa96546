//! The real kernel: AF_XDP sockets.
