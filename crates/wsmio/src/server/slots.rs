//! Where a loop keeps its connections.

/// Values by small numbers that are used again. Each use of a number has a generation of its own, so
/// that what was meant for one value never reaches the next.
pub(super) struct Slots<T> {
    slots: Vec<Option<Box<Slot<T>>>>,
    /// The numbers that are not in use, with the generation of their last use.
    free: Vec<(u32, u32)>,
}

struct Slot<T> {
    value: T,
    /// Odd.
    generation: u32,
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Adds a value: its number and generation.
    pub(super) fn insert(&mut self, value: T) -> (u32, u32) {
        if let Some((index, last)) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            let generation = last.wrapping_add(2);
            *slot = Some(Box::new(Slot { value, generation }));
            return (index, generation);
        }
        // A process has far fewer descriptors than that.
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        grow(&mut self.slots);
        self.slots.push(Some(Box::new(Slot { value, generation: 1 })));
        (index, 1)
    }

    /// The value with this number, and its generation.
    pub(super) fn get_mut(&mut self, index: u32) -> Option<(&mut T, u32)> {
        let slot = self.slots.get_mut(index as usize)?.as_deref_mut()?;
        Some((&mut slot.value, slot.generation))
    }

    /// Removes a value.
    pub(super) fn remove(&mut self, index: u32) -> Option<T> {
        let slot = self.slots.get_mut(index as usize)?.take()?;
        self.free.push((index, slot.generation));
        Some(slot.value)
    }

    /// The numbers in use.
    pub(super) fn indices(&self) -> Vec<u32> {
        let used = self.slots.iter().zip(0..).filter(|(slot, _)| slot.is_some());
        used.map(|(_, index)| index).collect()
    }
}

/// Makes room for one more in a table of all connections: by an eighth, not to twice the size, which
/// would cost each of them as much as it needs.
pub(super) fn grow<T>(table: &mut Vec<T>) {
    if table.len() == table.capacity() {
        table.reserve_exact(table.len() / 8 + 16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_used_again_has_another_generation() {
        let mut slots = Slots::new();
        let (a, first) = slots.insert("a");
        assert_eq!(slots.get_mut(a), Some((&mut "a", first)));
        assert_eq!(slots.remove(a), Some("a"));
        assert_eq!(slots.get_mut(a), None);
        let (b, second) = slots.insert("b");
        assert_eq!(a, b);
        assert_ne!(first, second);
        assert_eq!(slots.get_mut(b), Some((&mut "b", second)));
        assert_eq!(slots.len(), 1);
    }
}
