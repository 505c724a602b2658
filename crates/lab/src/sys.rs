//! The system calls that the standard library does not offer, behind safe functions.
#![expect(unsafe_code, reason = "each call to libc is here and nowhere else in the laboratory")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "C types: the values are small constants, lengths of our own buffers or checked results"
)]
use std::{
    ffi::{CString, c_int, c_ulong},
    fs::File,
    io::{self, IoSlice, IoSliceMut},
    mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::Command,
    ptr,
    sync::atomic::{AtomicI32, Ordering},
    time::Duration,
};

use socket2::{SockAddr, SockAddrStorage};

/// Control messages of one packet fit into this many words.
const CONTROL_WORDS: usize = 16;

/// What a poll waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Bytes or a connection to take.
    Read,
    /// Room to write.
    Write,
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_size(result: isize) -> io::Result<usize> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as usize) }
}

fn new_fd(result: c_int) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the kernel has just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_encoded_bytes())?)
}

/// Whether the program runs as root.
pub(crate) fn is_root() -> bool {
    // SAFETY: takes no argument and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Moves the calling thread into a network namespace.
pub(crate) fn enter_network(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the descriptor is open for the time of the call; only the calling thread moves.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// Mounts an empty bpf filesystem.
pub(crate) fn mount_bpf(at: &Path) -> io::Result<()> {
    let at = c_path(at)?;
    // SAFETY: all strings end in NUL and live for the time of the call; no data is passed.
    let result =
        unsafe { libc::mount(c"bpf".as_ptr(), at.as_ptr(), c"bpf".as_ptr(), 0, ptr::null()) };
    check(result).map(drop)
}

/// Unmounts, at once or as soon as nobody uses it any more.
pub(crate) fn unmount(at: &Path) -> io::Result<()> {
    let at = c_path(at)?;
    // SAFETY: the string ends in NUL and lives for the time of the call.
    check(unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

/// Has a thread, by its number, run on one CPU only; 0: the calling one.
pub(crate) fn pin_thread(thread: u32, cpu: usize) -> io::Result<()> {
    // SAFETY: all-zero is an empty set of CPUs; CPU_SET writes into it only.
    let set = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        set
    };
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: the set lives until the call returns, and its size is given.
    check(unsafe { libc::sched_setaffinity(thread as _, size, &raw const set) }).map(drop)
}

/// Has a thread, by its number, run before all ordinary ones.
pub(crate) fn set_real_time(thread: u32, priority: u8) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority.into() };
    // SAFETY: the parameters live until the call returns.
    let result =
        unsafe { libc::sched_setscheduler(thread as _, libc::SCHED_FIFO, &raw const parameters) };
    check(result).map(drop)
}

/// A descriptor of a process: it never means another one, even when the number is used again.
pub(crate) fn open_process(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers.
    new_fd(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as c_int)
}

/// Sends a signal to a process.
pub(crate) fn signal_process(process: BorrowedFd<'_>, signal: c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open; a null siginfo is allowed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    check(result as c_int).map(drop)
}

/// Sends SIGKILL to a process by its number.
pub(crate) fn kill_pid(pid: u32) -> io::Result<()> {
    signal_process(open_process(pid)?.as_fd(), libc::SIGKILL)
}

/// Makes the kernel kill the child when the thread that starts it ends, so also when the whole
/// program is killed.
pub(crate) fn die_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec only an async-signal-safe system call is made.
    unsafe {
        command.pre_exec(|| {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong)).map(drop)
        });
    }
}

/// The writing end of the pipe that the signal handler tells the signal's number; -1: none.
static SIGNAL_PIPE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn tell_signal(signal: c_int) {
    let byte = [signal as u8];
    // SAFETY: write is async-signal-safe and the buffer lives on this stack. The result does not
    // matter: the pipe is full only when an earlier signal is being handled.
    unsafe {
        libc::write(SIGNAL_PIPE.load(Ordering::Relaxed), byte.as_ptr().cast(), 1);
    }
}

/// Has the number of each arriving signal of `signals` written to `pipe`.
pub(crate) fn catch_signals(pipe: OwnedFd, signals: &[c_int]) -> io::Result<()> {
    SIGNAL_PIPE.store(std::os::fd::IntoRawFd::into_raw_fd(pipe), Ordering::Relaxed);
    for &signal in signals {
        // SAFETY: an all-zero sigaction is valid (empty mask, no flags), and the handler does
        // only what is allowed in one.
        let result = unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = tell_signal as extern "C" fn(c_int) as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, &raw const action, ptr::null_mut())
        };
        check(result)?;
    }
    Ok(())
}

/// Ends the program as the signal would have ended it.
pub(crate) fn die_of(signal: c_int) {
    // SAFETY: restores the default action of a signal and sends it to this process.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::kill(libc::getpid(), signal);
    }
}

/// Waits until one of `fds` is ready (also: closed or failed); its index, or `None` in time.
pub(crate) fn poll(
    fds: &[(BorrowedFd<'_>, Interest)],
    timeout: Option<Duration>,
) -> io::Result<Option<usize>> {
    let mut polled: Vec<libc::pollfd> = fds
        .iter()
        .map(|(fd, interest)| libc::pollfd {
            fd: fd.as_raw_fd(),
            events: match interest {
                Interest::Read => libc::POLLIN,
                Interest::Write => libc::POLLOUT,
            },
            revents: 0,
        })
        .collect();
    // Rounded up: a poll that returns a little too early would make its caller spin.
    let timeout = timeout.map_or(-1, |time| time.as_micros().div_ceil(1000) as c_int);
    // SAFETY: pointer and length are those of a live vector.
    let result = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as _, timeout) };
    match check(result) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
        Ok(_) => Ok(polled.iter().position(|fd| fd.revents != 0)),
    }
}

/// Number of an interface in the calling thread's namespace.
pub(crate) fn interface_index(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: the string ends in NUL and lives for the time of the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: all-zero is a valid ifreq: an empty name and a zero union.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as _;
    }
    Ok(request)
}

/// A switch of an interface that `ethtool -K` turns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Feature {
    /// Transmit checksum offload.
    TransmitChecksum,
    /// Generic receive offload.
    Gro,
}

/// Turns a feature of an interface in the calling thread's namespace on or off.
pub(crate) fn set_feature(interface: &str, feature: Feature, on: bool) -> io::Result<()> {
    const ETHTOOL_STXCSUM: u32 = 0x17;
    const ETHTOOL_SGRO: u32 = 0x2c;
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    let command = match feature {
        Feature::TransmitChecksum => ETHTOOL_STXCSUM,
        Feature::Gro => ETHTOOL_SGRO,
    };
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let mut value = Value { command, data: u32::from(on) };
    let mut request = interface_request(interface)?;
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: SIOCETHTOOL reads an ifreq whose data points to a struct ethtool_value; both live
    // until the call returns.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) }).map(drop)
}

/// Makes a TUN device (packets without any header) in the calling thread's namespace; it lives as
/// long as the file.
pub(crate) fn open_tun(name: &str) -> io::Result<File> {
    let file = File::options().read(true).write(true).open("/dev/net/tun")?;
    let mut request = interface_request(name)?;
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as _;
    // SAFETY: TUNSETIFF reads and writes an ifreq, which lives until the call returns.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) })?;
    Ok(file)
}

fn set_option(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the option's value is an int on this stack and its size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<c_int>() as _,
        )
    };
    check(result).map(drop)
}

/// Sets the size of a socket's receive buffer, beyond the system's limit for ordinary users.
pub(crate) fn set_receive_buffer(socket: BorrowedFd<'_>, bytes: c_int) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)
}

fn link_address(interface: u32, protocol: c_int) -> libc::sockaddr_ll {
    // SAFETY: all-zero is a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as _;
    address.sll_protocol = (protocol as u16).to_be();
    address.sll_ifindex = interface as _;
    address
}

/// A socket that sees every frame of an interface in the calling thread's namespace.
pub(crate) fn packet_socket(interface: &str) -> io::Result<OwnedFd> {
    let index = interface_index(interface)?;
    // Protocol 0: it receives nothing until it is bound to the one interface.
    // SAFETY: takes three numbers.
    let socket =
        new_fd(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
    set_receive_buffer(socket.as_fd(), 16 << 20)?;
    set_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
    let address = link_address(index, libc::ETH_P_ALL);
    // SAFETY: address and its size are those of a live sockaddr_ll.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as _,
        )
    };
    check(result)?;
    Ok(socket)
}

/// A socket for frames that go straight to the queue of the CPU that sends them.
pub(crate) fn direct_socket() -> io::Result<OwnedFd> {
    // SAFETY: takes three numbers.
    let socket =
        new_fd(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
    set_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)?;
    Ok(socket)
}

/// Sends one frame on an interface, by its number, in the namespace of the socket.
pub(crate) fn send_frame(socket: BorrowedFd<'_>, interface: u32, frame: &[u8]) -> io::Result<()> {
    let address = link_address(interface, 0);
    // SAFETY: buffer and address live until the call returns, and their sizes are given.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as _,
        )
    };
    check_size(sent).map(drop)
}

/// Has the calling thread run on one CPU only.
pub(crate) fn stay_on_cpu(cpu: usize) -> io::Result<()> {
    // SAFETY: all-zero is a valid cpu_set_t.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the set has room for this CPU, and lives until the calls return.
    check(unsafe {
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    })
    .map(drop)
}

/// A received message and what its control messages tell.
struct Message {
    length: usize,
    source: libc::sockaddr_storage,
    source_length: libc::socklen_t,
    control: [u64; CONTROL_WORDS],
    control_length: usize,
}

fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Message> {
    // SAFETY: all-zero is valid for sockaddr_storage and msghdr.
    let (source, mut header): (libc::sockaddr_storage, libc::msghdr) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    let mut message = Message {
        length: 0,
        source,
        source_length: 0,
        control: [0; CONTROL_WORDS],
        control_length: 0,
    };
    let mut parts = [IoSliceMut::new(buffer)];
    header.msg_name = (&raw mut message.source).cast();
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as _;
    header.msg_iov = parts.as_mut_ptr().cast(); // IoSliceMut has the layout of iovec
    header.msg_iovlen = 1;
    header.msg_control = message.control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&message.control) as _;
    // SAFETY: every pointer in the header is to a live buffer whose size stands beside it.
    let received =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    message.length = check_size(received)?;
    message.source_length = header.msg_namelen;
    message.control_length = header.msg_controllen;
    Ok(message)
}

impl Message {
    /// The first control message of this level and type, as the C type `T` that goes with it.
    fn control<T: Copy>(&mut self, level: c_int, kind: c_int) -> Option<T> {
        // SAFETY: all-zero is a valid msghdr.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_control = self.control.as_mut_ptr().cast();
        header.msg_controllen = self.control_length as _;
        // SAFETY: the header describes the control buffer that the kernel filled, which is aligned
        // as cmsghdr; a message is read only when it is long enough for T, which is plain data.
        unsafe {
            let mut current = libc::CMSG_FIRSTHDR(&raw const header);
            while let Some(found) = current.as_ref() {
                let long_enough = found.cmsg_len >= libc::CMSG_LEN(size_of::<T>() as u32) as usize;
                if found.cmsg_level == level && found.cmsg_type == kind && long_enough {
                    return Some(ptr::read_unaligned(libc::CMSG_DATA(current).cast::<T>()));
                }
                current = libc::CMSG_NXTHDR(&raw const header, current);
            }
        }
        None
    }

    fn source(&self) -> Option<SocketAddr> {
        let mut storage = SockAddrStorage::zeroed();
        // SAFETY: the kernel wrote an address of that length, and it is copied whole.
        let address = unsafe {
            *storage.view_as::<libc::sockaddr_storage>() = self.source;
            SockAddr::new(storage, self.source_length)
        };
        address.as_socket()
    }
}

/// A frame that [`receive_frame`] took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceivedFrame {
    /// Bytes written into the buffer.
    pub(crate) length: usize,
    /// The interface sent it; otherwise it received it.
    pub(crate) outgoing: bool,
    /// Tag (protocol and control information) that the kernel took out of the frame.
    pub(crate) vlan: Option<(u16, u16)>,
}

/// Takes the next frame from a packet socket without waiting.
pub(crate) fn receive_frame(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<ReceivedFrame> {
    let mut message = receive(socket, buffer)?;
    // SAFETY: an AF_PACKET socket fills in a sockaddr_ll, which fits into sockaddr_storage.
    let address = unsafe { ptr::read((&raw const message.source).cast::<libc::sockaddr_ll>()) };
    let auxiliary =
        message.control::<libc::tpacket_auxdata>(libc::SOL_PACKET, libc::PACKET_AUXDATA);
    let vlan = auxiliary
        .filter(|data| data.tp_status & libc::TP_STATUS_VLAN_VALID != 0)
        .map(|data| (data.tp_vlan_tpid, data.tp_vlan_tci));
    let outgoing = address.sll_pkttype == libc::PACKET_OUTGOING;
    Ok(ReceivedFrame { length: message.length, outgoing, vlan })
}

/// Has the kernel tell for each datagram to which of our addresses it was sent.
pub(crate) fn tell_destination(socket: BorrowedFd<'_>, v6: bool) -> io::Result<()> {
    if v6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    }
}

/// Takes the next datagram without waiting: its length, its source and our address it was sent to.
pub(crate) fn receive_datagram(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, SocketAddr, IpAddr)> {
    let mut message = receive(socket, buffer)?;
    let source = message.source().ok_or(io::ErrorKind::InvalidData)?;
    let own = if source.is_ipv6() {
        message
            .control::<libc::in6_pktinfo>(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
            .map(|info| IpAddr::from(info.ipi6_addr.s6_addr))
    } else {
        message
            .control::<libc::in_pktinfo>(libc::IPPROTO_IP, libc::IP_PKTINFO)
            .map(|info| IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()))
    };
    Ok((message.length, source, own.ok_or(io::ErrorKind::InvalidData)?))
}

/// Sends a datagram from one of our addresses.
pub(crate) fn send_datagram(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    to: SocketAddr,
    from: IpAddr,
) -> io::Result<()> {
    match from {
        IpAddr::V4(own) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: in_address(own),
                ipi_addr: in_address(own),
            };
            send_with(socket, bytes, to, (libc::IPPROTO_IP, libc::IP_PKTINFO), info)
        }
        IpAddr::V6(own) => {
            let info = libc::in6_pktinfo { ipi6_addr: in6_address(own), ipi6_ifindex: 0 };
            send_with(socket, bytes, to, (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO), info)
        }
    }
}

fn in_address(address: Ipv4Addr) -> libc::in_addr {
    libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) }
}

fn in6_address(address: Ipv6Addr) -> libc::in6_addr {
    libc::in6_addr { s6_addr: address.octets() }
}

fn send_with<T: Copy>(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    to: SocketAddr,
    (level, kind): (c_int, c_int),
    data: T,
) -> io::Result<()> {
    let to = SockAddr::from(to);
    let mut control = [0_u64; CONTROL_WORDS];
    let parts = [IoSlice::new(bytes)];
    // SAFETY: all-zero is a valid msghdr; each pointer in it is to a live buffer whose size stands
    // beside it; the one control message (at most 40 bytes) fits the aligned control buffer.
    let sent = unsafe {
        let mut header: libc::msghdr = mem::zeroed();
        header.msg_name = to.as_ptr().cast_mut().cast();
        header.msg_namelen = to.len();
        header.msg_iov = parts.as_ptr().cast_mut().cast();
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(size_of::<T>() as u32) as _;
        if let Some(message) = libc::CMSG_FIRSTHDR(&raw const header).as_mut() {
            message.cmsg_level = level;
            message.cmsg_type = kind;
            message.cmsg_len = libc::CMSG_LEN(size_of::<T>() as u32) as _;
            ptr::write_unaligned(libc::CMSG_DATA(message).cast::<T>(), data);
        }
        libc::sendmsg(socket.as_raw_fd(), &raw const header, 0)
    };
    check_size(sent).map(drop)
}

/// Loads an XDP program of plain instructions.
pub(crate) fn load_xdp(instructions: &[u64]) -> io::Result<OwnedFd> {
    const BPF_PROG_LOAD: c_int = 5;
    const BPF_PROG_TYPE_XDP: u32 = 6;
    /// The head of `union bpf_attr` for this command.
    #[repr(C)]
    struct Load {
        program_type: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
    }
    let attributes = Load {
        program_type: BPF_PROG_TYPE_XDP,
        count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads the attributes and what they point to, all alive for the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size_of::<Load>())
    };
    new_fd(result as c_int)
}

/// Attaches an XDP program in native mode to an interface in the calling thread's namespace, for
/// as long as the returned descriptor is open.
pub(crate) fn attach_xdp(program: BorrowedFd<'_>, interface: &str) -> io::Result<OwnedFd> {
    const BPF_LINK_CREATE: c_int = 28;
    const BPF_XDP: u32 = 37;
    const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
    /// The head of `union bpf_attr` for this command.
    #[repr(C)]
    struct Link {
        program: u32,
        target: u32,
        kind: u32,
        flags: u32,
    }
    let attributes = Link {
        program: program.as_raw_fd() as u32,
        target: interface_index(interface)?,
        kind: BPF_XDP,
        flags: XDP_FLAGS_DRV_MODE,
    };
    // SAFETY: the kernel reads the attributes, which live until the call returns.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_LINK_CREATE, &raw const attributes, size_of::<Link>())
    };
    new_fd(result as c_int)
}
