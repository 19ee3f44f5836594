//! Where a loop keeps its connections.

/// Values by small numbers that are used again. Each use of a number has a generation of its own, so
/// that what was meant for one value never reaches the next.
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

struct Slot<T> {
    /// Odd while there is a value.
    generation: u32,
    value: Option<Box<T>>,
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
        let value = Some(Box::new(value));
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.generation = slot.generation.wrapping_add(1);
            slot.value = value;
            return (index, slot.generation);
        }
        // A process has far fewer descriptors than that.
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { generation: 1, value });
        (index, 1)
    }

    /// The value with this number, and its generation.
    pub(super) fn get_mut(&mut self, index: u32) -> Option<(&mut T, u32)> {
        let slot = self.slots.get_mut(index as usize)?;
        Some((slot.value.as_deref_mut()?, slot.generation))
    }

    /// Whether this number has a value of this generation.
    pub(super) fn has(&self, index: u32, generation: u32) -> bool {
        self.slots.get(index as usize).is_some_and(|slot| slot.generation == generation)
            && generation % 2 == 1
    }

    /// Removes a value, and gives the generation of the empty slot.
    pub(super) fn remove(&mut self, index: u32) -> Option<(Box<T>, u32)> {
        let slot = self.slots.get_mut(index as usize)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        Some((value, slot.generation))
    }

    /// The numbers in use.
    pub(super) fn indices(&self) -> Vec<u32> {
        let used = self.slots.iter().zip(0..).filter(|(slot, _)| slot.value.is_some());
        used.map(|(_, index)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_used_again_has_another_generation() {
        let mut slots = Slots::new();
        let (a, first) = slots.insert("a");
        assert!(slots.has(a, first));
        slots.remove(a);
        assert!(!slots.has(a, first) && !slots.has(a, first + 1));
        let (b, second) = slots.insert("b");
        assert_eq!(a, b);
        assert!(slots.has(b, second) && !slots.has(b, first));
        assert_eq!(slots.len(), 1);
    }
}
