//! Turns LLVM IR for the host into IR for BPF.

/// Replaces the target description and drops the function attributes that only the host knows.
pub(crate) fn relabel(ir: &str) -> String {
    let mut out = String::with_capacity(ir.len());
    for line in ir.lines() {
        if line.starts_with("target datalayout") {
            out += r#"target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128""#;
        } else if line.starts_with("target triple") {
            out += r#"target triple = "bpfel""#;
        } else if line.starts_with("attributes #") {
            relabel_attributes(line, &mut out);
        } else {
            out += line;
        }
        out.push('\n');
    }
    out
}

fn relabel_attributes(line: &str, out: &mut String) {
    for word in line.split_inclusive(' ') {
        match word.trim_end().split('=').next().unwrap_or("") {
            // Never empty the group: that is a syntax error in LLVM's parser of IR.
            r#""target-cpu""# => *out += r#""target-cpu"="generic" "#,
            r#""target-features""#
            | r#""probe-stack""#
            | r#""tune-cpu""#
            | "uwtable"
            | "nonlazybind" => {}
            _ => *out += word,
        }
    }
}

/// Every definition with an explicit section (programs, maps, licence, globals) and the functions
/// whose name says that they are to stay global. What is not exported is internalised, and its relocations then point at the section, not at the symbol.
pub(crate) fn exported_symbols(ir: &str) -> Vec<&str> {
    ir.lines()
        .filter(|line| line.starts_with('@') || line.starts_with("define "))
        .filter(|line| line.contains(" section \"") || line.contains(" @lvs_"))
        .filter_map(|line| line.split_once('@')?.1.split([' ', '(']).next())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_attributes_are_dropped_and_a_group_stays() {
        let line =
            r#"attributes #0 = { nounwind uwtable "target-cpu"="x86-64" "probe-stack"="x" }"#;
        let expected = "attributes #0 = { nounwind \"target-cpu\"=\"generic\" }\n";
        assert_eq!(relabel(line), expected);
    }

    #[test]
    fn what_has_a_section_is_exported() {
        let ir = "@A = global i32 0, section \".maps\", align 4\n@B = global i32 0\n\
                  define i32 @run(ptr %0) #1 section \"xdp\" {\n";
        assert_eq!(exported_symbols(ir), ["A", "run"]);
    }
}
