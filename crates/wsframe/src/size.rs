/// How many of the `available` bytes belong to a payload of which `remaining` bytes are to come: the
/// smaller of the two.
///
/// A payload may be longer than a `usize` can say, as it is on 32-bit machines from 4 GiB on, so this
/// compares before it converts: nothing is ever cut off.
///
/// ```
/// assert_eq!(wsframe::arrived(20, 100), 20);
/// assert_eq!(wsframe::arrived(1 << 40, 100), 100);
/// ```
#[inline]
pub fn arrived(remaining: u64, available: usize) -> usize {
    arrived_of(remaining, available)
}

/// As [`arrived`], for a `usize` of any width.
#[inline]
fn arrived_of<Size: Copy + Ord + TryFrom<u64>>(remaining: u64, available: Size) -> Size {
    Size::try_from(remaining).map_or(available, |remaining| remaining.min(available))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that matters is compared as 128 bits, which hold everything.
    fn check<Size>(remaining: u64, available: Size)
    where
        Size: Copy + Ord + TryFrom<u64> + Into<u64>,
    {
        let expected = u128::from(remaining).min(u128::from(available.into()));
        assert_eq!(u128::from(arrived_of(remaining, available).into()), expected);
    }

    #[test]
    fn a_length_is_never_cut_off_however_wide_a_usize_is() {
        let edges = [0, 1, 125, 126, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0005];
        for remaining in edges.into_iter().chain([1 << 62, u64::MAX >> 1, u64::MAX]) {
            for available in [0u8, 1, 5, 125, 0xff] {
                check::<u16>(remaining, available.into());
                check::<u32>(remaining, available.into());
                check::<u64>(remaining, available.into());
            }
            check::<u16>(remaining, u16::MAX);
            check::<u32>(remaining, u32::MAX);
            check::<u64>(remaining, u64::MAX);
            assert_eq!(arrived(remaining, 0), 0);
            assert_eq!(arrived(remaining, 1), usize::from(remaining > 0));
        }
    }
}
