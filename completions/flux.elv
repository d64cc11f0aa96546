
use builtin;
use str;

set edit:completion:arg-completer[flux] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'flux'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'flux'= {
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
            cand ping 'Send ICMP echo requests and time the replies'
            cand bench 'Measure every combination of settings, and say which is best for what'
            cand rings 'Show every AF_XDP socket''s rings, and why it does not go'
            cand doctor 'Tell whether AF_XDP can run here, how well, and what to do about it'
            cand completions 'Print the completion script for a shell'
            cand man 'Write the manual pages to a directory'
            cand help 'Print the help of a command, or of the simulated network (flux help sim)'
        }
        &'flux;ping'= {
            cand -c 'Stop after this many probes per target; k and m are 1000 and 1000000'
            cand -i 'Time between two probes to one target: seconds, or 2ms, 50us [default: 1s]'
            cand --rate 'Probes per second over all targets, such as 10kpps; instead of -i'
            cand -s 'Bytes of ICMP payload [default: 56]'
            cand -W 'How long to wait for each reply [default: 1s]'
            cand -w 'Stop after this time, whatever came; with -c, exit 0 needs every reply'
            cand -t 'TTL or hop limit of the probes, 1 to 255 [default: 64]'
            cand -Q 'TOS or traffic class byte, 184 or 0xb8 [default: 0]'
            cand -M 'Path MTU: do sets don''t-fragment, want sets it too, dont clears it [default: dont]'
            cand -p 'Fill the payload with these bytes, in hexadecimal, up to 16'
            cand --vlan 'Put an 802.1Q tag on every probe: VLAN 1 to 4094, priority 0 to 7'
            cand -I 'Interface to use; without it the route to the target decides'
            cand --interface 'Interface to use; without it the route to the target decides'
            cand --queue 'RX queues to open [default: all]'
            cand --poll 'How to wait for packets [default: adaptive]'
            cand --batch 'Packets per batch, 1 to 4096 [default: 64]'
            cand --sim 'Use the simulated network instead of an interface; needs no privilege'
            cand --attach 'Where the XDP program hooks in [default: auto]'
            cand --bind 'Copy packets or share memory with the NIC [default: auto]'
            cand --frames 'UMEM frames over all queues, 16 to 1m [default: 4096]'
            cand --frame-size 'Bytes per frame, 2048 or 4096 [default: 2048]'
            cand --hugepages 'Put the UMEM in huge pages [default: auto]'
            cand -4 'IPv4 only'
            cand -6 'IPv6 only'
            cand -f 'Flood: send when a reply comes, at least 100 a second, or at --rate or -i'
            cand -q 'Print the summary only'
            cand -n 'Print addresses only, not the names that were given'
            cand -D 'Print the time of day before each line, in seconds since 1970'
            cand --histogram 'Draw the round-trip times as bars at the end'
            cand -j 'One JSON object per line on standard output, also for errors'
            cand --json 'One JSON object per line on standard output, also for errors'
            cand -v 'Say more on standard error; may be repeated'
            cand --verbose 'Say more on standard error; may be repeated'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'flux;bench'= {
            cand -I 'Measure on this interface; whoever is at its other end sends'
            cand --interface 'Measure on this interface; whoever is at its other end sends'
            cand --sim 'Measure on simulated rings; needs no privilege'
            cand --workload 'What to do with the packets [default: all; with -I all but txonly, with --sim all but latency]'
            cand --batch 'Packets per batch, 1 to 4096 [default: 16,32,64]'
            cand --poll 'How to wait for packets [default: busy,adaptive,syscall]'
            cand --frame 'Packet lengths, 64 to 1518 bytes with frame check sequence [default: 64]'
            cand --queue 'RX queues to open, one thread each [default: 0]'
            cand --hugepages 'UMEM in huge pages or not [default: off]'
            cand --prefetch 'Prefetch packet headers or not [default: on]'
            cand --mode 'Modes of the library to measure [default: raw]'
            cand --duration 'Measured time of one sample [default: 400ms]'
            cand --repeat 'Samples per setting [default: 5]'
            cand --attach 'Where the XDP program hooks in [default: auto]'
            cand --bind 'Copy packets or share memory with the NIC [default: auto]'
            cand --frames 'UMEM frames over all queues, 16 to 1m [default: 4096]'
            cand --frame-size 'Bytes per frame, 2048 or 4096 [default: 2048]'
            cand --plot 'Draw a chart into this file as well'
            cand --save 'Keep the run under this name, for flux bench diff'
            cand --lab 'Measure on a veth pair between two network namespaces of its own; as root'
            cand --csv 'One line per setting, separated by commas, under a line of headings'
            cand -j 'One JSON object per line on standard output, also for errors'
            cand --json 'One JSON object per line on standard output, also for errors'
            cand -v 'Say more on standard error; may be repeated'
            cand --verbose 'Say more on standard error; may be repeated'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand diff 'Compare a saved run with an earlier one; exit 1 where it is slower'
        }
        &'flux;bench;diff'= {
            cand --tolerance 'Change that does not matter'
            cand --csv 'One line per setting, separated by commas, under a line of headings'
            cand -j 'One JSON object on standard output, also for errors'
            cand --json 'One JSON object on standard output, also for errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'flux;rings'= {
            cand -p 'Sockets that this process has open'
            cand --pid 'Sockets that this process has open'
            cand --queue 'Sockets on these queues [default: all]'
            cand --source 'How to look [default: auto]'
            cand --over 'Time over which rates and diagnosis are taken; 0 is one look [default: 500ms]'
            cand -w 'Go on, with a sample every so often [default TIME: 1s]'
            cand --watch 'Go on, with a sample every so often [default TIME: 1s]'
            cand -c 'Stop after N samples; without --watch one a second'
            cand --count 'Stop after N samples; without --watch one a second'
            cand --metrics 'Serve Prometheus metrics at http://ADDR/metrics until Ctrl-C'
            cand --sim 'Look at simulated sockets; needs no privilege'
            cand --attach 'Where the XDP program hooks in [default: auto]'
            cand --bind 'Copy packets or share memory with the NIC [default: auto]'
            cand --frames 'UMEM frames over all queues, 16 to 1m [default: 4096]'
            cand --frame-size 'Bytes per frame, 2048 or 4096 [default: 2048]'
            cand --all 'Sockets on all interfaces in all network namespaces; so it is without IFACE'
            cand -j 'One JSON object per sample on standard output, also for errors'
            cand --json 'One JSON object per sample on standard output, also for errors'
            cand -v 'All of each socket: options, cached indices, XSKMAPs, every counter'
            cand --verbose 'All of each socket: options, cached indices, XSKMAPs, every counter'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'flux;doctor'= {
            cand --sim 'Examine the simulated machine instead; needs no privilege'
            cand --no-attach 'Attach no program, not even for a moment: some NICs reset their link for it'
            cand -j 'One JSON object on standard output, also for errors'
            cand --json 'One JSON object on standard output, also for errors'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'flux;completions'= {
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'flux;man'= {
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'flux;help'= {
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
    ]
    $completions[$command]
}
