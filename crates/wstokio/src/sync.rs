//! What the lock and the wakers are made of, by a name of ours: their test under loom puts loom's in its
//! place.

pub(crate) use std::sync::{Mutex, MutexGuard, atomic::AtomicUsize};
