//! nginx's configurations.
use std::{net::SocketAddr, path::Path};

/// Where Debian's package has the module for TCP; elsewhere it is built in.
const STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// One process, whose run time is all that it takes.
const HEAD: &str = "\
daemon off;
master_process off;
pid DIRECTORY/pid;
error_log stderr warn;
events { worker_connections 1024; }
";

/// Passes TCP on.
pub(crate) fn stream(service: SocketAddr, servers: &[SocketAddr]) -> String {
    let found = Path::new(STREAM).exists();
    let module = if found { format!("load_module {STREAM};\n") } else { String::new() };
    let upstream = upstream(servers);
    format!(
        "{module}{HEAD}\
         stream {{\n\
         upstream servers {{ {upstream} }}\n\
         server {{ listen {service}; proxy_pass servers; }}\n}}\n"
    )
}

/// Passes HTTP on, over connections that it keeps.
pub(crate) fn http(service: SocketAddr, servers: &[SocketAddr]) -> String {
    let upstream = upstream(servers);
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path DIRECTORY/{what};\n"));
    format!(
        "{HEAD}\
         http {{\naccess_log off;\n{}\
         upstream servers {{ {upstream} keepalive 32; keepalive_requests 1000000; }}\n\
         server {{\nlisten {service};\nkeepalive_requests 1000000;\nkeepalive_timeout 5m;\n\
         location / {{\nproxy_pass http://servers;\nproxy_http_version 1.1;\n\
         proxy_set_header Connection \"\";\n}}\n}}\n}}\n",
        temporary.concat()
    )
}

fn upstream(servers: &[SocketAddr]) -> String {
    servers.iter().map(|server| format!("server {server};")).collect::<Vec<_>>().concat()
}
