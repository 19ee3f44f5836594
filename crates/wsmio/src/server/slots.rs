//! Where a loop keeps its connections.

/// Values by small numbers that are used again. Each use of a number has a generation of its own, so
/// that what was meant for one value never reaches the next.
pub(super) struct Slots<T> {
    values: Vec<Option<Box<T>>>,
    /// That of each number's last use.
    generations: Vec<u32>,
    /// The numbers that are to be used again.
    free: Vec<u32>,
    used: usize,
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Self { values: Vec::new(), generations: Vec::new(), free: Vec::new(), used: 0 }
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// Adds a value: its number, and its generation, which is odd.
    pub(super) fn insert(&mut self, value: T) -> (u32, u32) {
        let value = Some(Box::new(value));
        self.used += 1;
        if let Some(index) = self.free.pop()
            && let Some(place) = self.values.get_mut(index as usize)
            && let Some(generation) = self.generations.get_mut(index as usize)
        {
            *place = value;
            *generation += 2;
            return (index, *generation);
        }
        // A process has far fewer descriptors than that.
        let index = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        grow(&mut self.values);
        self.values.push(value);
        grow(&mut self.generations);
        self.generations.push(1);
        (index, 1)
    }

    /// The value with this number, and its generation.
    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<(&mut T, u32)> {
        let value = self.values.get_mut(index as usize)?.as_deref_mut()?;
        Some((value, *self.generations.get(index as usize)?))
    }

    /// Removes a value.
    pub(super) fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.values.get_mut(index as usize)?.take()?;
        self.used -= 1;
        // After its last generation a number rests for ever.
        if self.generations.get(index as usize).is_some_and(|last| *last != u32::MAX) {
            self.free.push(index);
        }
        Some(*value)
    }

    /// The numbers in use.
    pub(super) fn indices(&self) -> Vec<u32> {
        let used = self.values.iter().zip(0..).filter(|(value, _)| value.is_some());
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

    #[test]
    fn a_number_without_another_generation_is_not_used_again() {
        let mut slots = Slots::new();
        let (a, _) = slots.insert("a");
        slots.remove(a);
        slots.generations = vec![u32::MAX - 2];
        assert_eq!(slots.insert("b"), (a, u32::MAX));
        slots.remove(a);
        assert_eq!(slots.len(), 0);
        assert_eq!(slots.insert("c"), (a + 1, 1));
    }
}
