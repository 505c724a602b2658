//! Loads the kernel program and owns its tables.
#[expect(dead_code)]
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lvs.o"));
