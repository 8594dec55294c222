use super::*;
use crate::load::DtypeChoice;
use crate::models::Chunk;

fn plan(header: &Header, bytes: &[u8]) -> Plan {
    let options = LoadOptions::default();
    families::from_gguf(registry::Decoder::Llama, header, bytes, &options).expect("a plan")
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
