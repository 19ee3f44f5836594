//! Sizes on the command line.

/// A number of bytes: `4096`, `64KiB`, `16MiB`, `1GiB`.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let (digits, unit) = text.split_at(digits.len());
    let unit: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("a size is a number of bytes, or of KiB, MiB or GiB, as in 64MiB".into()),
    };
    let number: u64 = digits.parse().map_err(|_| "a size starts with a number".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "the size is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_size_is_a_number_and_perhaps_a_unit() {
        assert_eq!(parse("4096"), Ok(4096));
        assert_eq!(parse("64MiB"), Ok(64 << 20));
        assert_eq!(parse("1 GiB"), Ok(1 << 30));
        for bad in ["", "MiB", "1MB", "-1", "1.5KiB", "99999999999999GiB"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
