# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_flux_global_optspecs
    string join \n h/help V/version
end

function __fish_flux_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_flux_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_flux_using_subcommand
    set -l cmd (__fish_flux_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c flux -n "__fish_flux_needs_command" -s h -l help -d 'Print help'
complete -c flux -n "__fish_flux_needs_command" -s V -l version -d 'Print version'
complete -c flux -n "__fish_flux_needs_command" -f -a "ping" -d 'Send ICMP echo requests and time the replies'
complete -c flux -n "__fish_flux_needs_command" -f -a "trace" -d 'Show the hops to a host, all of them at once, and with --paths every path'
complete -c flux -n "__fish_flux_needs_command" -f -a "bench" -d 'Measure every combination of settings, and say which is best for what'
complete -c flux -n "__fish_flux_needs_command" -f -a "rings" -d 'Show every AF_XDP socket\'s rings, and what is wrong with it'
complete -c flux -n "__fish_flux_needs_command" -f -a "doctor" -d 'Say whether AF_XDP can run here, how well, and what to do about it'
complete -c flux -n "__fish_flux_needs_command" -f -a "completions" -d 'Print the completion script for a shell'
complete -c flux -n "__fish_flux_needs_command" -f -a "man" -d 'Write the manual pages to a directory'
complete -c flux -n "__fish_flux_needs_command" -f -a "help" -d 'Print the help of a command, or on the simulated network (flux help sim, flux help topology)'
complete -c flux -n "__fish_flux_using_subcommand ping" -l file -d 'Read more targets from FILE, one a line; - is standard input' -r -F
complete -c flux -n "__fish_flux_using_subcommand ping" -s c -l count -d 'Stop after this many probes per target; k and m are 1000 and 1000000' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -s i -l interval -d 'Time between two probes to one target: seconds, or 2ms, 50us [default: 1s]' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -l rate -d 'Probes per second over all targets, such as 10kpps; instead of -i' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -s s -l size -d 'Bytes of ICMP payload [default: 56]' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -l packet-size -d 'Bytes of each packet, from the Ethernet header on, the checksum at its end not counted' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -s W -l timeout -d 'How long to wait for each reply; 0: without limit [default: 1s]' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -s w -l deadline -d 'Stop after this time; 0: never; with -c, once that many replies came (exit 0), or after it' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -s t -l ttl -d 'TTL or hop limit of the probes, 1 to 255 [default: 64]' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -s Q -l tos -d 'TOS or traffic class byte, 184 or 0xb8 [default: 0]' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -s M -l pmtudisc -d 'Path MTU: do sets don\'t-fragment, want sets it too, dont clears it [default: dont]' -r -f -a "do\t''
want\t''
dont\t''"
complete -c flux -n "__fish_flux_using_subcommand ping" -s p -l pattern -d 'Fill the payload with these bytes, in hexadecimal, up to 16' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -l vlan -d 'Put an 802.1Q tag on every probe: VLAN 1 to 4094, priority 0 to 7' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -s I -l interface -d 'Interface to use, or address to send from; without it the route to the target decides' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -l queue -d 'RX queues to open [default: all]' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -l poll -d 'How to wait for packets [default: adaptive]' -r -f -a "busy\t''
adaptive\t''
syscall\t''"
complete -c flux -n "__fish_flux_using_subcommand ping" -l batch -d 'Packets per batch, 1 to 4096 [default: 64]' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -l sim -d 'Use the simulated network instead of an interface; needs no privilege' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -l backend -d 'What packets are received and sent with [default: auto]' -r -f -a "auto\t''
xdp\t''"
complete -c flux -n "__fish_flux_using_subcommand ping" -l tx -d 'How packets are sent [default: auto]' -r -f -a "auto\t''
ring\t''"
complete -c flux -n "__fish_flux_using_subcommand ping" -l attach -d 'Where the XDP program hooks in [default: auto]' -r -f -a "auto\t''
native\t''
skb\t''"
complete -c flux -n "__fish_flux_using_subcommand ping" -l bind -d 'Copy packets or share memory with the NIC [default: auto]' -r -f -a "auto\t''
copy\t''
zerocopy\t''"
complete -c flux -n "__fish_flux_using_subcommand ping" -l frames -d 'UMEM frames over all queues, 16 to 1048576 [default: 4096]' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -l frame-size -d 'Bytes per frame, 2048 or 4096 (2k or 4k) [default: 2048]' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -l link-timeout -d 'How long to wait for a link lost during the run; none: for ever [default: 10s; none for a run without end]' -r
complete -c flux -n "__fish_flux_using_subcommand ping" -l hugepages -d 'Put the UMEM in huge pages [default: auto]' -r -f -a "auto\t''
on\t''
1g\t''
thp\t''
off\t''"
complete -c flux -n "__fish_flux_using_subcommand ping" -s g -l generate -d 'TARGETs are networks such as 192.0.2.0/24, or the first and the last address of a range'
complete -c flux -n "__fish_flux_using_subcommand ping" -s b -l broadcast -d 'Allow a broadcast address, which all hosts of a network answer that want to'
complete -c flux -n "__fish_flux_using_subcommand ping" -s A -l adaptive -d 'Adaptive: send when the reply is there or its time is over, one probe per target at once'
complete -c flux -n "__fish_flux_using_subcommand ping" -s 4 -l ipv4 -d 'IPv4 only'
complete -c flux -n "__fish_flux_using_subcommand ping" -s 6 -l ipv6 -d 'IPv6 only'
complete -c flux -n "__fish_flux_using_subcommand ping" -s f -l flood -d 'Flood: send when a reply comes, at least 100 a second, or at --rate or -i'
complete -c flux -n "__fish_flux_using_subcommand ping" -s q -l quiet -d 'Print the summary only'
complete -c flux -n "__fish_flux_using_subcommand ping" -s O -l outstanding -d 'Say of a probe that is not answered yet so, before the next one is sent'
complete -c flux -n "__fish_flux_using_subcommand ping" -s a -l alive -d 'Print the targets that answered, one a line, and nothing else'
complete -c flux -n "__fish_flux_using_subcommand ping" -s u -l unreachable -d 'Print the targets that did not answer, one a line, and nothing else'
complete -c flux -n "__fish_flux_using_subcommand ping" -s n -l numeric -d 'Print addresses only, not the names that were given'
complete -c flux -n "__fish_flux_using_subcommand ping" -s D -l timestamp -d 'Print the time of day before each line, in seconds since 1970'
complete -c flux -n "__fish_flux_using_subcommand ping" -l live -d 'A table of all targets redrawn in place until q, or until the run ends'
complete -c flux -n "__fish_flux_using_subcommand ping" -l histogram -d 'Draw the round-trip times as bars at the end'
complete -c flux -n "__fish_flux_using_subcommand ping" -s j -l json -d 'One JSON object per line on standard output, also for errors'
complete -c flux -n "__fish_flux_using_subcommand ping" -s v -l verbose -d 'Say more on standard error'
complete -c flux -n "__fish_flux_using_subcommand ping" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flux -n "__fish_flux_using_subcommand ping" -s V -l version -d 'Print version'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s m -l max-hops -d 'Highest TTL or hop limit, 1 to 255 [default: 30]' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s f -l first -d 'First TTL or hop limit [default: 1]' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s q -l queries -d 'Probes per hop and round, 1 to 255 [default: 3; with -c and --live 1]' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s w -l wait -d 'Longest wait for an answer: seconds, or 500ms; 0: without limit [default: 1s]' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s p -l port -d 'Destination port, 1 to 65535 [default: 33434; with -T 80]' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l strategy -d 'How probes are told apart, and so what load balancers see [default: paris]' -r -f -a "paris\t''
classic\t''
dublin\t''"
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s s -l source -d 'Source address, which must be one of this machine\'s; -I takes one, too' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s t -l tos -d 'TOS or traffic class byte, 184 or 0xb8 [default: 0]' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l size -d 'Bytes of each IP packet, 28 to 65000 [default: 60]' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l packet-size -d 'Bytes of each packet, from the Ethernet header on, the checksum at its end not counted' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s c -l count -d 'Probe the path this many times and show statistics, as mtr; k and m are 1000 and 1000000' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s i -l interval -d 'Time between the starts of two rounds: seconds, or 200ms [default: 1s]' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l rate -d 'Probes per second over all targets, such as 1kpps [default: 10kpps]' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l confidence -d 'How sure --paths is to have missed no router, 50% to 99.99% [default: 95%]' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l max-flows -d 'Most flows that --paths uses per target, 1 to 4096 [default: 1024]' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l asn -d 'Show the autonomous system of each address, looked up in FILE' -r -F
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s I -l interface -d 'Interface to use, or address to send from; without it the route to the target decides' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l queue -d 'RX queues to open [default: all]' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l poll -d 'How to wait for packets [default: adaptive]' -r -f -a "busy\t''
adaptive\t''
syscall\t''"
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l batch -d 'Packets per batch, 1 to 4096 [default: 64]' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l sim -d 'Use the simulated network instead of an interface; needs no privilege' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l backend -d 'What packets are received and sent with [default: auto]' -r -f -a "auto\t''
xdp\t''"
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l tx -d 'How packets are sent [default: auto]' -r -f -a "auto\t''
ring\t''"
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l attach -d 'Where the XDP program hooks in [default: auto]' -r -f -a "auto\t''
native\t''
skb\t''"
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l bind -d 'Copy packets or share memory with the NIC [default: auto]' -r -f -a "auto\t''
copy\t''
zerocopy\t''"
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l frames -d 'UMEM frames over all queues, 16 to 1048576 [default: 4096]' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l frame-size -d 'Bytes per frame, 2048 or 4096 (2k or 4k) [default: 2048]' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l link-timeout -d 'How long to wait for a link lost during the run; none: for ever [default: 10s; none for a run without end]' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l hugepages -d 'Put the UMEM in huge pages [default: auto]' -r -f -a "auto\t''
on\t''
1g\t''
thp\t''
off\t''"
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l patient -d 'Wait in full, also where other answers were much sooner'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s U -l udp -d 'UDP probes; the default'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s T -l tcp -d 'TCP SYN probes; an answer is met with a reset, so no connection stays half open'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l icmp -d 'ICMP echo requests'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s 4 -l ipv4 -d 'IPv4 only'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s 6 -l ipv6 -d 'IPv6 only'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l paths -d 'Find every path between here and the target, over many flows'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l mtu -d 'Find the path MTU, and the hop that larger packets do not pass'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s n -l numeric -d 'Do not look up names of addresses'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l report -d 'A table with a row per router, as mtr --report; the default with -c'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l live -d 'The same table redrawn in place after every round, until q or -c rounds'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -l dot -d 'A graph for Graphviz: flux trace --paths --dot TARGET | dot -Tsvg'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s j -l json -d 'One JSON object per line on standard output, also for errors'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s v -l verbose -d 'Say more on standard error'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -s V -l version -d 'Print version'
complete -c flux -n "__fish_flux_using_subcommand trace; and not __fish_seen_subcommand_from diff" -a "diff" -d 'Compare two saved traces; exit 1 where they differ'
complete -c flux -n "__fish_flux_using_subcommand trace; and __fish_seen_subcommand_from diff" -l tolerance -d 'Ignore growth up to this: of loss in percentage points, of a median RTT in percent' -r
complete -c flux -n "__fish_flux_using_subcommand trace; and __fish_seen_subcommand_from diff" -s j -l json -d 'One JSON object on standard output, also for errors'
complete -c flux -n "__fish_flux_using_subcommand trace; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flux -n "__fish_flux_using_subcommand trace; and __fish_seen_subcommand_from diff" -s V -l version -d 'Print version'
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -s I -l interface -d 'Measure on this interface, by any of its names; the machine at its other end sends' -r
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l out -d 'For workload forward: the interface that packets leave by; they come in on that of -I' -r
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l sim -d 'Measure on simulated rings; needs no privilege' -r
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l workload -d 'What to do with the packets [default: all; with -I all but txonly, and forward only with --out; with --sim all but latency]' -r -f -a "rxdrop\t''
txonly\t''
l2fwd\t''
forward\t''
latency\t''
parse\t''"
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l batch -d 'Packets per batch, 1 to 4096 [default: 16,32,64]' -r
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l poll -d 'How to wait for packets [default: busy,adaptive,syscall]' -r -f -a "busy\t''
adaptive\t''
syscall\t''"
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l packet-size -d 'Bytes of each packet, from the Ethernet header on, 60 to 1514 [default: 60]' -r
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l frame -d 'The same with the frame check sequence' -r
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l queue -d 'RX queues to open, one thread each [default: 0]' -r
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l hugepages -d 'Put the UMEM in huge pages [default: off]' -r -f -a "auto\t''
on\t''
1g\t''
thp\t''
off\t''"
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l prefetch -d 'Prefetch packet headers or not [default: on]' -r -f -a "on\t''
off\t''"
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l mode -d 'Modes of the library to measure [default: raw]' -r -f -a "raw\t''
engine\t''
system\t''"
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l duration -d 'Measured time of one sample, from 1ms on [default: 400ms]' -r
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l repeat -d 'Samples per setting, 1 to 1000 [default: 5]' -r
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l backend -d 'What packets are received and sent with [default: auto]' -r -f -a "auto\t''
xdp\t''"
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l tx -d 'How packets are sent [default: auto]' -r -f -a "auto\t''
ring\t''"
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l attach -d 'Where the XDP program hooks in [default: auto]' -r -f -a "auto\t''
native\t''
skb\t''"
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l bind -d 'Copy packets or share memory with the NIC [default: auto]' -r -f -a "auto\t''
copy\t''
zerocopy\t''"
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l frame-size -d 'Bytes per frame, 2048 or 4096 (2k or 4k) [default: 2048]' -r
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l link-timeout -d 'How long to wait for a link lost during the run; none: for ever [default: 10s; none for a run without end]' -r
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l plot -d 'Draw a chart into this file as well' -r -F
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l save -d 'Keep the run under this name, for flux bench diff' -r
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l frames -d 'UMEM frames over all queues, 16 to 1048576 [default: 4096 for each queue, at most 131072]' -r
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l lab -d 'Measure on a veth pair between two network namespaces of its own; as root'
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -l csv -d 'One line per setting, separated by commas, under a line of headings'
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -s j -l json -d 'One JSON object per line on standard output, also for errors'
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -s v -l verbose -d 'Say more on standard error'
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -s V -l version -d 'Print version'
complete -c flux -n "__fish_flux_using_subcommand bench; and not __fish_seen_subcommand_from diff" -f -a "diff" -d 'Compare a saved run with an earlier one; exit 1 where it is slower'
complete -c flux -n "__fish_flux_using_subcommand bench; and __fish_seen_subcommand_from diff" -l tolerance -d 'Ignore changes up to this share' -r
complete -c flux -n "__fish_flux_using_subcommand bench; and __fish_seen_subcommand_from diff" -l csv -d 'One line per setting, separated by commas, under a line of headings'
complete -c flux -n "__fish_flux_using_subcommand bench; and __fish_seen_subcommand_from diff" -s j -l json -d 'One JSON object on standard output, also for errors'
complete -c flux -n "__fish_flux_using_subcommand bench; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flux -n "__fish_flux_using_subcommand bench; and __fish_seen_subcommand_from diff" -s V -l version -d 'Print version'
complete -c flux -n "__fish_flux_using_subcommand rings" -s p -l pid -d 'Sockets that this process has open' -r
complete -c flux -n "__fish_flux_using_subcommand rings" -l queue -d 'Sockets on these queues [default: all]' -r
complete -c flux -n "__fish_flux_using_subcommand rings" -l source -d 'How to look [default: auto]' -r -f -a "auto\t''
iter\t''
pidfd\t''
diag\t''"
complete -c flux -n "__fish_flux_using_subcommand rings" -l over -d 'Time over which rates and diagnosis are taken; 0 is one look [default: 500ms]' -r
complete -c flux -n "__fish_flux_using_subcommand rings" -s w -l watch -d 'Go on, with a sample every so often; 0: every millisecond [default TIME: 1s]' -r
complete -c flux -n "__fish_flux_using_subcommand rings" -s c -l count -d 'Stop after N samples; without --watch one a second' -r
complete -c flux -n "__fish_flux_using_subcommand rings" -l metrics -d 'Serve Prometheus metrics at http://ADDRESS/metrics until Ctrl-C' -r
complete -c flux -n "__fish_flux_using_subcommand rings" -l sim -d 'Look at simulated sockets; needs no privilege' -r
complete -c flux -n "__fish_flux_using_subcommand rings" -l backend -d 'What packets are received and sent with [default: auto]' -r -f -a "auto\t''
xdp\t''"
complete -c flux -n "__fish_flux_using_subcommand rings" -l tx -d 'How packets are sent [default: auto]' -r -f -a "auto\t''
ring\t''"
complete -c flux -n "__fish_flux_using_subcommand rings" -l attach -d 'Where the XDP program hooks in [default: auto]' -r -f -a "auto\t''
native\t''
skb\t''"
complete -c flux -n "__fish_flux_using_subcommand rings" -l bind -d 'Copy packets or share memory with the NIC [default: auto]' -r -f -a "auto\t''
copy\t''
zerocopy\t''"
complete -c flux -n "__fish_flux_using_subcommand rings" -l frames -d 'UMEM frames over all queues, 16 to 1048576 [default: 4096]' -r
complete -c flux -n "__fish_flux_using_subcommand rings" -l frame-size -d 'Bytes per frame, 2048 or 4096 (2k or 4k) [default: 2048]' -r
complete -c flux -n "__fish_flux_using_subcommand rings" -l all -d 'Sockets on all interfaces in all network namespaces: the default without IFACE'
complete -c flux -n "__fish_flux_using_subcommand rings" -l live -d 'Redraw the view in place; needs a terminal'
complete -c flux -n "__fish_flux_using_subcommand rings" -s j -l json -d 'One JSON object per sample on standard output, also for errors'
complete -c flux -n "__fish_flux_using_subcommand rings" -s v -l verbose -d 'All of each socket: options, cached indices, XSKMAPs, every counter'
complete -c flux -n "__fish_flux_using_subcommand rings" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flux -n "__fish_flux_using_subcommand rings" -s V -l version -d 'Print version'
complete -c flux -n "__fish_flux_using_subcommand doctor" -l sim -d 'Examine the simulated machine instead; needs no privilege' -r
complete -c flux -n "__fish_flux_using_subcommand doctor" -l no-attach -d 'Attach no program, not even for a moment: some NICs reset their link for it'
complete -c flux -n "__fish_flux_using_subcommand doctor" -s j -l json -d 'One JSON object on standard output, also for errors'
complete -c flux -n "__fish_flux_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flux -n "__fish_flux_using_subcommand doctor" -s V -l version -d 'Print version'
complete -c flux -n "__fish_flux_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c flux -n "__fish_flux_using_subcommand completions" -s V -l version -d 'Print version'
complete -c flux -n "__fish_flux_using_subcommand man" -s h -l help -d 'Print help'
complete -c flux -n "__fish_flux_using_subcommand man" -s V -l version -d 'Print version'
complete -c flux -n "__fish_flux_using_subcommand help" -s h -l help -d 'Print help'
complete -c flux -n "__fish_flux_using_subcommand help" -s V -l version -d 'Print version'
