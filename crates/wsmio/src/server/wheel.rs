//! The timers of a loop: a wheel, looked at lazily.
//!
//! Each connection stands in the wheel once, at its deadline or before it. A deadline that moves away,
//! as it does with each message, costs nothing: when the connection's turn comes too early, it is put
//! in again. So a timer costs O(1) each 32 seconds or less often, and four bytes.

use std::time::Duration;

use wsconn::Time;

use super::slots;

/// How exact the wheel is: what is due comes at most so many milliseconds late, and by what one turn of the
/// loop takes.
const TICK_MILLIS: u64 = 250;

const TICKS_PER_SECOND: u64 = 1000 / TICK_MILLIS;

const SLOTS: u64 = 128;

pub(super) struct Wheel {
    slots: [Vec<Entry>; SLOTS as usize],
    /// Bit `n` is set if slot `n` has entries.
    occupied: u128,
    /// The last tick whose entries have been taken.
    tick: u64,
}

/// Whose turn it is. Its connection may have ended, and another have its number: the tick tells.
pub(super) type Entry = u32;

impl Wheel {
    pub(super) fn new() -> Self {
        Self { slots: [const { Vec::new() }; SLOTS as usize], occupied: 0, tick: 0 }
    }

    /// Puts an entry in for `deadline`, and tells at which tick its turn comes: the first one after
    /// the deadline, or an earlier one if that is far away.
    pub(super) fn insert(&mut self, entry: Entry, deadline: Time) -> u32 {
        let tick = ticks(deadline).saturating_add(1);
        let tick = tick.clamp(self.tick + 1, self.tick + SLOTS - 1);
        let slot = tick % SLOTS;
        if let Some(entries) = self.slots.get_mut(slot as usize) {
            slots::grow(entries);
            entries.push(entry);
            self.occupied |= 1 << slot;
        }
        short(tick)
    }

    /// At which tick an entry for `deadline` would have its turn, if that is soon.
    pub(super) fn tick_of(deadline: Time) -> u32 {
        short(ticks(deadline).saturating_add(1))
    }

    /// When the next turn comes.
    pub(super) fn next(&self) -> Option<Time> {
        if self.occupied == 0 {
            return None;
        }
        let ahead = self.occupied.rotate_right(((self.tick + 1) % SLOTS) as u32).trailing_zeros();
        let tick = self.tick + 1 + u64::from(ahead);
        let millis = tick.saturating_mul(TICK_MILLIS);
        Some(Time::from_origin(Duration::from_millis(millis)))
    }

    /// Takes the entries of the next tick that has come by `now`, and tells which tick that is.
    pub(super) fn due(&mut self, now: Time) -> Option<(u32, Vec<Entry>)> {
        let last = ticks(now);
        while self.tick < last {
            self.tick += 1;
            let slot = self.tick % SLOTS;
            if self.occupied & (1 << slot) != 0 {
                self.occupied &= !(1 << slot);
                let entries = self.slots.get_mut(slot as usize).map(std::mem::take);
                return Some((short(self.tick), entries.unwrap_or_default()));
            }
            if self.occupied == 0 {
                self.tick = last;
            }
        }
        None
    }
}

/// A tick in four bytes, which is enough for 34 years.
fn short(tick: u64) -> u32 {
    u32::try_from(tick).unwrap_or(u32::MAX - 1)
}

/// How many whole ticks after the origin.
fn ticks(time: Time) -> u64 {
    // In whole seconds and what is left, where as_millis() would divide 128 bits, at each message.
    let since = time.since_origin();
    since.as_secs() * TICKS_PER_SECOND + u64::from(since.subsec_millis()) / TICK_MILLIS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_origin(Duration::from_millis(millis))
    }

    #[test]
    fn an_entry_has_its_turn_after_its_deadline_and_at_most_a_tick_late() {
        for deadline in [0, 1, 249, 250, 251, 5_000, 31_000] {
            let mut wheel = Wheel::new();
            let tick = wheel.insert(7, at(deadline));
            let turn = wheel.next().unwrap();
            assert!(turn > at(deadline) && turn <= at(deadline + 250), "{deadline}: {turn:?}");
            assert_eq!(wheel.due(at(deadline)), None);
            assert_eq!(wheel.due(turn), Some((tick, vec![7])));
            assert_eq!(wheel.next(), None);
        }
    }

    #[test]
    fn an_entry_for_a_far_deadline_has_its_turn_before_and_can_be_put_in_again() {
        let mut wheel = Wheel::new();
        wheel.insert(7, at(100_000));
        let turn = wheel.next().unwrap();
        assert!(turn < at(33_000));
        assert!(wheel.due(turn).is_some());
        wheel.insert(7, at(100_000));
        assert!(wheel.next().unwrap() > turn);
    }

    #[test]
    fn after_a_long_sleep_all_that_is_due_comes_in_order() {
        let mut wheel = Wheel::new();
        for (index, deadline) in [(1, 30_000), (2, 100), (3, 5_000)] {
            wheel.insert(index, at(deadline));
        }
        let mut order = Vec::new();
        while let Some((_, entries)) = wheel.due(at(1_000_000)) {
            order.extend(entries);
        }
        assert_eq!(order, [2, 3, 1]);
        // And it goes on from there.
        wheel.insert(4, at(1_000_100));
        assert!(wheel.next().unwrap() > at(1_000_100));
    }
}
