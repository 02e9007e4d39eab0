//! Whatever connects over the network: a header and a first message, of a member, changed, or of a
//! stranger. None that was not made with the secret is answered, and nothing panics.

#![no_main]

use dom0_proxy::membership::{Dialler, FIRST_LENGTH, HEADER_LENGTH, Purpose, Responder, Secret};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((header, rest)) = data.split_first_chunk::<HEADER_LENGTH>() else { return };
    let Ok(purpose) = Purpose::decode(header) else { return };
    assert_eq!(purpose.encode().as_ref(), Ok(header), "a purpose has one header");
    let secret = Secret::from([7; 32]);
    if let Some(first) = rest.first_chunk::<FIRST_LENGTH>() {
        assert!(Responder::new(header, &secret, first).is_err(), "it was not made with the secret");
    }
    let (dialler, mut first) = Dialler::new(header, &secret).expect("random numbers");
    let (responder, mut answer) =
        Responder::new(header, &secret, &first).expect("it was made with the secret");
    if let [at, change, ..] = rest
        && *change != 0
    {
        first[usize::from(*at) % FIRST_LENGTH] ^= change;
        assert!(Responder::new(header, &secret, &first).is_err(), "it was changed");
        answer[usize::from(*at) % FIRST_LENGTH] ^= change;
        assert!(dialler.answered(&answer).is_err(), "the answer was changed");
        return;
    }
    let (_, confirmation) = dialler.answered(&answer).expect("it knows the secret");
    assert!(responder.confirmed(&confirmation).is_ok());
});
