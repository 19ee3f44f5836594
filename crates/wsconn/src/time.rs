use core::{num::NonZeroU64, time::Duration};

/// A moment on the caller's monotonic clock: nanoseconds since an origin of the caller's choice.
///
/// This crate reads no clock (`core` has none): whoever drives a connection tells it the time. All
/// moments given to one connection must have one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(
    /// One more than the nanoseconds, so that an `Option` of it is no larger.
    NonZeroU64,
);

impl Time {
    /// The origin.
    pub const ZERO: Self = Self(NonZeroU64::MIN);

    /// The last moment there is, which never comes.
    #[cfg(feature = "transport")]
    pub(crate) const NEVER: Self = Self(NonZeroU64::MAX);

    /// The moment that is `since_origin` after the origin, or the last one there is, some 584 years
    /// after it.
    pub fn from_origin(since_origin: Duration) -> Self {
        let nanos = u64::try_from(since_origin.as_nanos()).unwrap_or(u64::MAX);
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// How long after the origin.
    pub const fn since_origin(self) -> Duration {
        Duration::from_nanos(self.0.get() - 1)
    }

    /// How long after `earlier`; zero where it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        self.since_origin().saturating_sub(earlier.since_origin())
    }

    /// The moment `wait` later, or the last one there is.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self::from_origin(self.since_origin().saturating_add(wait))
    }
}

impl Default for Time {
    fn default() -> Self {
        Self::ZERO
    }
}
