//! What the codec must do, naively: for the tests, and for the fuzz targets, which include this file.

// Each test uses its part, and what is wrong in a test panics.
#![allow(dead_code, clippy::indexing_slicing, clippy::unwrap_used)]

use wsframe::{
    Decoded, FrameError, Header, Instance, Mask, OpCode, Role, Rsv, Rules, Utf8, Utf8Error,
};

/// The set of reserved bits with this value.
pub(crate) fn rsv(value: u8) -> Rsv {
    [(4, Rsv::RSV1), (2, Rsv::RSV2), (1, Rsv::RSV3)]
        .into_iter()
        .filter(|(bit, _)| value & bit != 0)
        .fold(Rsv::NONE, |rsv, (_, bit)| rsv.with(bit))
}

/// The verdict on the header at the start of `bytes`, from the standard alone: its fields one after
/// the other, with `Need` where one is not all there.
pub(crate) fn naive_header(
    bytes: &[u8],
    rules: &Rules,
    rsv_allowed: u8,
) -> Result<Decoded, FrameError> {
    if bytes.len() < 2 {
        return Ok(Decoded::Need(2));
    }
    let (fin, rsv, opcode) = (bytes[0] / 128, bytes[0] / 16 % 8, bytes[0] % 16);
    let (mask, short) = (bytes[1] / 128, bytes[1] % 128);
    let opcode = match opcode {
        _ if rsv & !rsv_allowed != 0 => return Err(FrameError::ReservedBits),
        0 => OpCode::Continuation,
        1 => OpCode::Text,
        2 => OpCode::Binary,
        8 => OpCode::Close,
        9 => OpCode::Ping,
        10 => OpCode::Pong,
        other => return Err(FrameError::ReservedOpCode(other)),
    };
    let control = bytes[0] % 16 >= 8;
    if (mask == 1) != (rules.receiver == Role::Server) {
        return Err(FrameError::Masking(rules.receiver));
    }
    if control && fin == 0 {
        return Err(FrameError::FragmentedControl);
    }
    if control && short > 125 {
        return Err(FrameError::LongControl);
    }
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let len = 2 + extended + 4 * usize::from(mask);
    if bytes.len() < 2 + extended {
        return Ok(Decoded::Need(len));
    }
    let mut payload_len = u64::from(short);
    if extended > 0 {
        payload_len = bytes[2..2 + extended].iter().fold(0, |sum, b| sum << 8 | u64::from(*b));
        if payload_len >= 1 << 63 {
            return Err(FrameError::LengthTopBit);
        }
        if payload_len < if extended == 2 { 126 } else { 65536 } {
            return Err(FrameError::NonMinimalLength);
        }
    }
    if !control && payload_len > rules.max_payload {
        return Err(FrameError::TooLarge { len: payload_len, limit: rules.max_payload });
    }
    if bytes.len() < len {
        return Ok(Decoded::Need(len));
    }
    let masking_key = (mask == 1).then(|| bytes[len - 4..len].try_into().unwrap());
    let header = Header { fin: fin == 1, rsv: self::rsv(rsv), opcode, masking_key, payload_len };
    Ok(Decoded::Header { header, len })
}

/// Decodes a header with rules that the first byte gives, cut at every point, and encodes it again.
pub(crate) fn check_header(input: &[u8]) {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let receiver = if choice & 1 == 0 { Role::Server } else { Role::Client };
    let allowed = choice >> 1 & 7;
    let max_payload = [u64::MAX >> 1, 0, 125, 1 << 16][usize::from(choice >> 4 & 3)];
    let rules = Rules { receiver, rsv: rsv(allowed), max_payload };
    let whole = Header::decode(bytes, &rules);
    for len in 0..=bytes.len().min(wsframe::MAX_HEADER_LEN + 1) {
        let found = Header::decode(&bytes[..len], &rules);
        assert_eq!(found, naive_header(&bytes[..len], &rules, allowed));
        match found {
            Ok(Decoded::Need(need)) => assert!(need > len && need <= wsframe::MAX_HEADER_LEN),
            verdict => assert_eq!(verdict, whole),
        }
    }
    if let Ok(Decoded::Header { header, len }) = whole {
        assert_eq!(header.encode().as_slice(), &bytes[..len]);
    }
}

/// Masks the payload in pieces and with every instance. The first four bytes are the key, the fifth
/// and the sixth say where to cut.
pub(crate) fn check_mask(input: &[u8]) {
    let Some((&[k0, k1, k2, k3, cut, skip], payload)) = input.split_first_chunk() else { return };
    let key = [k0, k1, k2, k3];
    // An address that the input chooses.
    let payload = &payload[usize::from(skip & 63).min(payload.len())..];
    let expected: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect();

    for instance in Instance::all() {
        let mut masked = payload.to_vec();
        instance.apply(key, &mut masked);
        assert_eq!(masked, expected);
        instance.copy(key, &expected, &mut masked);
        assert_eq!(masked, payload);
        let valid = instance.apply_text(key, &mut masked);
        assert_eq!(masked, expected);
        check_found(instance, &expected, valid);
    }
    let (mut mask, mut copying) = (Mask::new(key), Mask::new(key));
    let (mut masked, mut copied) = (payload.to_vec(), vec![0; payload.len()]);
    let step = usize::from(cut) + 1;
    for ((piece, src), dst) in
        masked.chunks_mut(step).zip(payload.chunks(step)).zip(copied.chunks_mut(step))
    {
        mask.apply(piece);
        assert_eq!(copying.copy(src, dst), src.len());
    }
    assert_eq!(mask, copying);
    assert_eq!(masked, expected);
    assert_eq!(copied, expected);
}

/// Checks what a kernel has found of a text: nothing valid that is not, but for what may be a character that
/// is cut at the end; and all that is ASCII, or all that is valid, if it knows.
pub(crate) fn check_found(instance: Instance, text: &[u8], valid: bool) {
    let wrong = naive_utf8(text);
    let context = || format!("{}, wrong at {wrong:?}: {text:02x?}", instance.name);
    match wrong {
        // What is left to look at is at most three bytes.
        Some(at) if valid => assert!(at + 3 >= text.len(), "{}", context()),
        Some(_) => {}
        None => {
            let known = text.is_ascii() || instance.knows_valid() && text.len() > 64;
            assert!(valid || !known, "{}", context());
        }
    }
}

/// Where the text is beyond repair: the first byte after which nothing makes it valid.
pub(crate) fn naive_utf8(text: &[u8]) -> Option<usize> {
    let error = std::str::from_utf8(text).err()?;
    // std names the start of what is wrong, and we the byte that makes it so.
    (error.valid_up_to()..text.len()).find(|&i| {
        std::str::from_utf8(&text[error.valid_up_to()..=i])
            .is_err_and(|error| error.error_len().is_some())
    })
}

/// Validates the text cut in two at every point, and unmasks it while it is validated.
pub(crate) fn check_utf8(text: &[u8]) {
    let expected = naive_utf8(text);
    let complete = std::str::from_utf8(text).is_ok();
    assert_eq!(wsframe::from_utf8(text).ok(), std::str::from_utf8(text).ok());
    // Every cut of a short text, and some of a long one, which its last byte chooses.
    let step = text.len() / 64 + 1;
    let first = text.last().map_or(0, |last| usize::from(*last) % step);
    for cut in (first..=text.len()).step_by(step) {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let mut masked = text.to_vec();
        Mask::new(key).apply(&mut masked);
        let (head, tail) = text.split_at(cut);
        let (masked_head, masked_tail) = masked.split_at_mut(cut);

        let found = in_two(cut, |utf8, second| utf8.push(if second { tail } else { head }));
        assert_eq!(found, (expected, complete), "cut at {cut}");
        let mut mask = Mask::new(key);
        let found = in_two(cut, |utf8, second| {
            mask.apply_text(if second { &mut *masked_tail } else { &mut *masked_head }, utf8)
        });
        assert_eq!(found, (expected, complete), "masked, cut at {cut}");
        if complete {
            assert_eq!(masked, text);
        }
    }
}

/// Pushes the first piece and the second. Where it failed, and whether it is a complete text.
fn in_two(
    cut: usize,
    mut push: impl FnMut(&mut Utf8, bool) -> Result<(), Utf8Error>,
) -> (Option<usize>, bool) {
    let mut utf8 = Utf8::new();
    if let Err(error) = push(&mut utf8, false) {
        return (Some(error.valid_up_to), false);
    }
    match push(&mut utf8, true) {
        Err(error) => (Some(cut + error.valid_up_to), false),
        Ok(()) => (None, utf8.finish().is_ok()),
    }
}
