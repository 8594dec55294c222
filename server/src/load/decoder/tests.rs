use super::*;
use crate::load::DtypeChoice;
use crate::models::Chunk;
use crate::models::decoder::Description;

fn plan(header: &Header, bytes: &[u8]) -> Plan {
    let options = LoadOptions::default();
    families::from_gguf(registry::Decoder::Llama, header, bytes, &options).expect("a plan")
}

fn description() -> Description {
    let bytes = tiny::llama().bytes();
    let header = Header::parse(tiny::GGUF, &bytes).expect("a header");
    plan(&header, &bytes).description
}

fn logits(arithmetic: Arithmetic) -> Vec<f32> {
    let bytes = tiny::llama().bytes();
    let header = Header::parse(tiny::GGUF, &bytes).expect("a header");
    let store = GgufStore {
        header: &header,
        bytes: &bytes,
        device: &Device::Cpu,
    };
    let options = LoadOptions::default();
    let request = Request {
        options: &options,
        device: Device::Cpu,
        progress: &|_, _| {},
    };
    let plan = plan(&header, &bytes);
    let mut loaded = build(&store, plan, arithmetic, 0, &request).expect("a model");
    let chunk = Chunk {
        tokens: &[256, 97, 98],
        position: 0,
        blocks: &[0],
        writes: true,
    };
    let logits = loaded.lm.forward(&[chunk]).expect("logits");
    let logits = logits.squeeze(0).and_then(|it| it.to_vec1());
    logits.expect("floats")
}

#[test]
fn stored_and_widened_weights_give_the_same_but_for_8_bit_rounding() {
    let (stored, widened) = (logits(Arithmetic::AsStored), logits(Arithmetic::Widened));
    let scale = widened.iter().fold(0f32, |most, x| most.max(x.abs()));
    let moved = stored.iter().zip(&widened).map(|(a, b)| (a - b).abs());
    let moved = moved.fold(0f32, f32::max);
    assert!(moved > 0.0, "they are the same arithmetic");
    assert!(moved < 0.03 * scale, "{moved} of {scale}");
}

#[test]
fn weights_are_widened_on_demand() {
    let chosen = plan::arithmetic;
    assert_eq!(chosen(DtypeChoice::Auto), Arithmetic::AsStored);
    assert_eq!(chosen(DtypeChoice::F32), Arithmetic::Widened);
}

#[test]
fn weights_are_counted_as_they_will_be_held() {
    let bytes = tiny::llama().bytes();
    let header = Header::parse(tiny::GGUF, &bytes).expect("a header");
    let matrices = 32 * (259 + 32 + 16 + 16 + 32 + 3 * 64);
    let norms = 3 * 32;
    // 20 bytes a block of 32.
    let stored = matrices / 32 * 20 + norms * 4;
    assert_eq!(header.tensor_bytes(), stored);
    let count = |arithmetic| plan::weight_bytes(arithmetic, stored, header.elements());
    assert_eq!(count(Arithmetic::Widened), 4 * (matrices + norms));
    assert_eq!(count(Arithmetic::AsStored), stored + stored / 32);
    // Its norms are f32 already.
    assert_eq!(header.bytes_with_widened_floats(), stored);
}

#[test]
fn a_cache_that_does_not_fit_is_refused_with_the_length_that_does() {
    let description = description();
    let check = |available| plan::check_memory(1000, &description, available, &Device::Cpu);
    // One layer, one head of 16 keys and 16 values.
    assert_eq!(description.cache_bytes_per_token(), 128);
    assert!(check(1000 + 64 * 128).is_ok());
    let error = check(1000 + 63 * 128).expect_err("too little");
    assert!(error.to_string().contains("maxModelLen: 63"), "{error}");
    let error = check(1000).expect_err("too little");
    assert!(error.to_string().contains("smaller model"), "{error}");
}

#[test]
fn the_cache_has_room_for_all_sequences_or_for_what_fits_or_for_one() {
    let description = description();
    assert_eq!(
        (description.context, description.cache_bytes_per_token()),
        (64, 128)
    );
    let tokens = |sequences, left| plan::cache_size(&description, sequences, left).tokens();
    assert_eq!(tokens(3, None), 3 * 64);
    assert_eq!(tokens(3, Some(1 << 30)), 3 * 64);
    assert_eq!(tokens(3, Some(2 * 128 * 100)), 96);
    assert_eq!(tokens(3, Some(0)), 64);
    let long = Description {
        context: 4096,
        ..description
    };
    let tokens = |sequences| plan::cache_size(&long, sequences, None).tokens();
    assert_eq!((tokens(3), tokens(16)), (4096, 16 * 512));
}

#[test]
fn rows_of_a_quantised_matrix_are_those_of_the_whole() {
    let bytes = tiny::llama().bytes();
    let header = Header::parse(tiny::GGUF, &bytes).expect("a header");
    let rows = |part: Range<usize>| -> Vec<Vec<f32>> {
        let tensor = header.load(&bytes, "blk.0.attn_q.weight", part, &Device::Cpu);
        let floats = tensor.expect("a tensor").dequantize(&Device::Cpu);
        floats.and_then(|it| it.to_vec2()).expect("floats")
    };
    let whole = rows(0..32);
    assert_ne!(whole[8], whole[16]);
    assert_eq!(rows(8..16), whole[8..16]);
    assert_eq!(rows(31..32), whole[31..]);
    let beyond = header.load(&bytes, "blk.0.attn_q.weight", 31..33, &Device::Cpu);
    assert!(beyond.is_err());
}
