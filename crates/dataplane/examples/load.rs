use aya::{EbpfLoader, programs::Xdp};
fn main() {
    let bytes = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let mut bpf = EbpfLoader::new().load(&bytes).unwrap();
    for (name, p) in bpf.programs_mut() {
        let p: &mut Xdp = p.try_into().unwrap();
        match p.load() { Ok(()) => { let i = p.info().unwrap(); println!("{name}: {:?} bytes, {:?} verified", i.size_translated(), i.verified_instruction_count()) }
          Err(aya::programs::ProgramError::LoadError{io_error, verifier_log}) => { let s = verifier_log.to_string(); println!("{io_error}\n{}", &s[s.len().saturating_sub(6000)..]); }
          Err(e) => println!("{e:?}") }
    }
}
