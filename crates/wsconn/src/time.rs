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
    #[inline]
    pub fn from_origin(since_origin: Duration) -> Self {
        Self::ZERO.after(since_origin)
    }

    /// How long after the origin.
    pub const fn since_origin(self) -> Duration {
        Duration::from_nanos(self.0.get() - 1)
    }

    /// How long after `earlier`; zero where it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// The moment `wait` later, or the last one there is.
    #[inline]
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl Default for Time {
    fn default() -> Self {
        Self::ZERO
    }
}
