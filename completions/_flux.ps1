
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'flux' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'flux'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'flux' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('ping', 'ping', [CompletionResultType]::ParameterValue, 'Send ICMP echo requests and time the replies')
            [CompletionResult]::new('trace', 'trace', [CompletionResultType]::ParameterValue, 'Show the hops to a host, all of them at once, and with --paths every path')
            [CompletionResult]::new('bench', 'bench', [CompletionResultType]::ParameterValue, 'Measure every combination of settings, and say which is best for what')
            [CompletionResult]::new('rings', 'rings', [CompletionResultType]::ParameterValue, 'Show every AF_XDP socket''s rings, and what is wrong with it')
            [CompletionResult]::new('doctor', 'doctor', [CompletionResultType]::ParameterValue, 'Tell whether AF_XDP can run here, how well, and what to do about it')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print the completion script for a shell')
            [CompletionResult]::new('man', 'man', [CompletionResultType]::ParameterValue, 'Write the manual pages to a directory')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print the help of a command, or on the simulated network (flux help sim, flux help topology)')
            break
        }
        'flux;ping' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Stop after this many probes per target; k and m are 1000 and 1000000')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'Stop after this many probes per target; k and m are 1000 and 1000000')
            [CompletionResult]::new('-i', '-i', [CompletionResultType]::ParameterName, 'Time between two probes to one target: seconds, or 2ms, 50us [default: 1s]')
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'Time between two probes to one target: seconds, or 2ms, 50us [default: 1s]')
            [CompletionResult]::new('--rate', '--rate', [CompletionResultType]::ParameterName, 'Probes per second over all targets, such as 10kpps; instead of -i')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'Bytes of ICMP payload [default: 56]')
            [CompletionResult]::new('--size', '--size', [CompletionResultType]::ParameterName, 'Bytes of ICMP payload [default: 56]')
            [CompletionResult]::new('--packet-size', '--packet-size', [CompletionResultType]::ParameterName, 'Bytes of each packet, from the Ethernet header on, the checksum at its end not counted')
            [CompletionResult]::new('-W', '-W ', [CompletionResultType]::ParameterName, 'How long to wait for each reply; 0: without limit [default: 1s]')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long to wait for each reply; 0: without limit [default: 1s]')
            [CompletionResult]::new('-w', '-w', [CompletionResultType]::ParameterName, 'Stop after this time, whatever came; 0: never; with -c, exit 0 needs every reply')
            [CompletionResult]::new('--deadline', '--deadline', [CompletionResultType]::ParameterName, 'Stop after this time, whatever came; 0: never; with -c, exit 0 needs every reply')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'TTL or hop limit of the probes, 1 to 255 [default: 64]')
            [CompletionResult]::new('--ttl', '--ttl', [CompletionResultType]::ParameterName, 'TTL or hop limit of the probes, 1 to 255 [default: 64]')
            [CompletionResult]::new('-Q', '-Q ', [CompletionResultType]::ParameterName, 'TOS or traffic class byte, 184 or 0xb8 [default: 0]')
            [CompletionResult]::new('--tos', '--tos', [CompletionResultType]::ParameterName, 'TOS or traffic class byte, 184 or 0xb8 [default: 0]')
            [CompletionResult]::new('-M', '-M ', [CompletionResultType]::ParameterName, 'Path MTU: do sets don''t-fragment, want sets it too, dont clears it [default: dont]')
            [CompletionResult]::new('--pmtudisc', '--pmtudisc', [CompletionResultType]::ParameterName, 'Path MTU: do sets don''t-fragment, want sets it too, dont clears it [default: dont]')
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'Fill the payload with these bytes, in hexadecimal, up to 16')
            [CompletionResult]::new('--pattern', '--pattern', [CompletionResultType]::ParameterName, 'Fill the payload with these bytes, in hexadecimal, up to 16')
            [CompletionResult]::new('--vlan', '--vlan', [CompletionResultType]::ParameterName, 'Put an 802.1Q tag on every probe: VLAN 1 to 4094, priority 0 to 7')
            [CompletionResult]::new('-I', '-I ', [CompletionResultType]::ParameterName, 'Interface to use, or address to send from; without it the route to the target decides')
            [CompletionResult]::new('--interface', '--interface', [CompletionResultType]::ParameterName, 'Interface to use, or address to send from; without it the route to the target decides')
            [CompletionResult]::new('--queue', '--queue', [CompletionResultType]::ParameterName, 'RX queues to open [default: all]')
            [CompletionResult]::new('--poll', '--poll', [CompletionResultType]::ParameterName, 'How to wait for packets [default: adaptive]')
            [CompletionResult]::new('--batch', '--batch', [CompletionResultType]::ParameterName, 'Packets per batch, 1 to 4096 [default: 64]')
            [CompletionResult]::new('--sim', '--sim', [CompletionResultType]::ParameterName, 'Use the simulated network instead of an interface; needs no privilege')
            [CompletionResult]::new('--backend', '--backend', [CompletionResultType]::ParameterName, 'What packets are received and sent with [default: auto]')
            [CompletionResult]::new('--tx', '--tx', [CompletionResultType]::ParameterName, 'How packets are sent [default: auto]')
            [CompletionResult]::new('--attach', '--attach', [CompletionResultType]::ParameterName, 'Where the XDP program hooks in [default: auto]')
            [CompletionResult]::new('--bind', '--bind', [CompletionResultType]::ParameterName, 'Copy packets or share memory with the NIC [default: auto]')
            [CompletionResult]::new('--frames', '--frames', [CompletionResultType]::ParameterName, 'UMEM frames over all queues, 16 to 1048576 [default: 4096]')
            [CompletionResult]::new('--frame-size', '--frame-size', [CompletionResultType]::ParameterName, 'Bytes per frame, 2048 or 4096 (2k or 4k) [default: 2048]')
            [CompletionResult]::new('--link-timeout', '--link-timeout', [CompletionResultType]::ParameterName, 'How long to wait for a link lost during the run; none: for ever [default: 10s; none for a run without end]')
            [CompletionResult]::new('--hugepages', '--hugepages', [CompletionResultType]::ParameterName, 'Put the UMEM in huge pages [default: auto]')
            [CompletionResult]::new('-4', '-4', [CompletionResultType]::ParameterName, 'IPv4 only')
            [CompletionResult]::new('--ipv4', '--ipv4', [CompletionResultType]::ParameterName, 'IPv4 only')
            [CompletionResult]::new('-6', '-6', [CompletionResultType]::ParameterName, 'IPv6 only')
            [CompletionResult]::new('--ipv6', '--ipv6', [CompletionResultType]::ParameterName, 'IPv6 only')
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Flood: send when a reply comes, at least 100 a second, or at --rate or -i')
            [CompletionResult]::new('--flood', '--flood', [CompletionResultType]::ParameterName, 'Flood: send when a reply comes, at least 100 a second, or at --rate or -i')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print the summary only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print the summary only')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Print addresses only, not the names that were given')
            [CompletionResult]::new('--numeric', '--numeric', [CompletionResultType]::ParameterName, 'Print addresses only, not the names that were given')
            [CompletionResult]::new('-D', '-D ', [CompletionResultType]::ParameterName, 'Print the time of day before each line, in seconds since 1970')
            [CompletionResult]::new('--timestamp', '--timestamp', [CompletionResultType]::ParameterName, 'Print the time of day before each line, in seconds since 1970')
            [CompletionResult]::new('--live', '--live', [CompletionResultType]::ParameterName, 'A table of all targets redrawn in place until q, or until the run ends')
            [CompletionResult]::new('--histogram', '--histogram', [CompletionResultType]::ParameterName, 'Draw the round-trip times as bars at the end')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'One JSON object per line on standard output, also for errors')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object per line on standard output, also for errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on standard error')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on standard error')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'flux;trace' {
            [CompletionResult]::new('-m', '-m', [CompletionResultType]::ParameterName, 'Highest TTL or hop limit, 1 to 255 [default: 30]')
            [CompletionResult]::new('--max-hops', '--max-hops', [CompletionResultType]::ParameterName, 'Highest TTL or hop limit, 1 to 255 [default: 30]')
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'First TTL or hop limit [default: 1]')
            [CompletionResult]::new('--first', '--first', [CompletionResultType]::ParameterName, 'First TTL or hop limit [default: 1]')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Probes per hop and round, 1 to 255 [default: 3; with -c and --live 1]')
            [CompletionResult]::new('--queries', '--queries', [CompletionResultType]::ParameterName, 'Probes per hop and round, 1 to 255 [default: 3; with -c and --live 1]')
            [CompletionResult]::new('-w', '-w', [CompletionResultType]::ParameterName, 'Longest wait for an answer: seconds, or 500ms; 0: without limit [default: 1s]')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'Longest wait for an answer: seconds, or 500ms; 0: without limit [default: 1s]')
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'Destination port, 1 to 65535 [default: 33434; with -T 80]')
            [CompletionResult]::new('--port', '--port', [CompletionResultType]::ParameterName, 'Destination port, 1 to 65535 [default: 33434; with -T 80]')
            [CompletionResult]::new('--strategy', '--strategy', [CompletionResultType]::ParameterName, 'How probes are told apart, and so what load balancers see [default: paris]')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'Source address, which must be one of this machine''s; -I takes one, too')
            [CompletionResult]::new('--source', '--source', [CompletionResultType]::ParameterName, 'Source address, which must be one of this machine''s; -I takes one, too')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'TOS or traffic class byte, 184 or 0xb8 [default: 0]')
            [CompletionResult]::new('--tos', '--tos', [CompletionResultType]::ParameterName, 'TOS or traffic class byte, 184 or 0xb8 [default: 0]')
            [CompletionResult]::new('--size', '--size', [CompletionResultType]::ParameterName, 'Bytes of each IP packet, 28 to 65000 [default: 60]')
            [CompletionResult]::new('--packet-size', '--packet-size', [CompletionResultType]::ParameterName, 'Bytes of each packet, from the Ethernet header on, the checksum at its end not counted')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Probe the path so many times and show statistics, as mtr; k and m are 1000 and 1000000')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'Probe the path so many times and show statistics, as mtr; k and m are 1000 and 1000000')
            [CompletionResult]::new('-i', '-i', [CompletionResultType]::ParameterName, 'Time between the starts of two rounds: seconds, or 200ms [default: 1s]')
            [CompletionResult]::new('--interval', '--interval', [CompletionResultType]::ParameterName, 'Time between the starts of two rounds: seconds, or 200ms [default: 1s]')
            [CompletionResult]::new('--rate', '--rate', [CompletionResultType]::ParameterName, 'Probes per second over all targets, such as 1kpps [default: 10kpps]')
            [CompletionResult]::new('--confidence', '--confidence', [CompletionResultType]::ParameterName, 'How sure --paths is to have missed no router, 50% to 99.99% [default: 95%]')
            [CompletionResult]::new('--max-flows', '--max-flows', [CompletionResultType]::ParameterName, 'Most flows that --paths uses per target, 1 to 4096 [default: 1024]')
            [CompletionResult]::new('--asn', '--asn', [CompletionResultType]::ParameterName, 'Show the autonomous system of each address, looked up in FILE')
            [CompletionResult]::new('-I', '-I ', [CompletionResultType]::ParameterName, 'Interface to use, or address to send from; without it the route to the target decides')
            [CompletionResult]::new('--interface', '--interface', [CompletionResultType]::ParameterName, 'Interface to use, or address to send from; without it the route to the target decides')
            [CompletionResult]::new('--queue', '--queue', [CompletionResultType]::ParameterName, 'RX queues to open [default: all]')
            [CompletionResult]::new('--poll', '--poll', [CompletionResultType]::ParameterName, 'How to wait for packets [default: adaptive]')
            [CompletionResult]::new('--batch', '--batch', [CompletionResultType]::ParameterName, 'Packets per batch, 1 to 4096 [default: 64]')
            [CompletionResult]::new('--sim', '--sim', [CompletionResultType]::ParameterName, 'Use the simulated network instead of an interface; needs no privilege')
            [CompletionResult]::new('--backend', '--backend', [CompletionResultType]::ParameterName, 'What packets are received and sent with [default: auto]')
            [CompletionResult]::new('--tx', '--tx', [CompletionResultType]::ParameterName, 'How packets are sent [default: auto]')
            [CompletionResult]::new('--attach', '--attach', [CompletionResultType]::ParameterName, 'Where the XDP program hooks in [default: auto]')
            [CompletionResult]::new('--bind', '--bind', [CompletionResultType]::ParameterName, 'Copy packets or share memory with the NIC [default: auto]')
            [CompletionResult]::new('--frames', '--frames', [CompletionResultType]::ParameterName, 'UMEM frames over all queues, 16 to 1048576 [default: 4096]')
            [CompletionResult]::new('--frame-size', '--frame-size', [CompletionResultType]::ParameterName, 'Bytes per frame, 2048 or 4096 (2k or 4k) [default: 2048]')
            [CompletionResult]::new('--link-timeout', '--link-timeout', [CompletionResultType]::ParameterName, 'How long to wait for a link lost during the run; none: for ever [default: 10s; none for a run without end]')
            [CompletionResult]::new('--hugepages', '--hugepages', [CompletionResultType]::ParameterName, 'Put the UMEM in huge pages [default: auto]')
            [CompletionResult]::new('--patient', '--patient', [CompletionResultType]::ParameterName, 'Wait in full, also where other answers were much sooner')
            [CompletionResult]::new('-U', '-U ', [CompletionResultType]::ParameterName, 'UDP probes; the default')
            [CompletionResult]::new('--udp', '--udp', [CompletionResultType]::ParameterName, 'UDP probes; the default')
            [CompletionResult]::new('-T', '-T ', [CompletionResultType]::ParameterName, 'TCP SYN probes; an answer is met with a reset, so no connection stays half open')
            [CompletionResult]::new('--tcp', '--tcp', [CompletionResultType]::ParameterName, 'TCP SYN probes; an answer is met with a reset, so no connection stays half open')
            [CompletionResult]::new('--icmp', '--icmp', [CompletionResultType]::ParameterName, 'ICMP echo requests')
            [CompletionResult]::new('-4', '-4', [CompletionResultType]::ParameterName, 'IPv4 only')
            [CompletionResult]::new('--ipv4', '--ipv4', [CompletionResultType]::ParameterName, 'IPv4 only')
            [CompletionResult]::new('-6', '-6', [CompletionResultType]::ParameterName, 'IPv6 only')
            [CompletionResult]::new('--ipv6', '--ipv6', [CompletionResultType]::ParameterName, 'IPv6 only')
            [CompletionResult]::new('--paths', '--paths', [CompletionResultType]::ParameterName, 'Find every path between here and the target, over many flows')
            [CompletionResult]::new('--mtu', '--mtu', [CompletionResultType]::ParameterName, 'Find the path MTU, and the hop that larger packets do not pass')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Do not look up names of addresses')
            [CompletionResult]::new('--numeric', '--numeric', [CompletionResultType]::ParameterName, 'Do not look up names of addresses')
            [CompletionResult]::new('--report', '--report', [CompletionResultType]::ParameterName, 'A table with a row per router, as mtr --report; the default with -c')
            [CompletionResult]::new('--live', '--live', [CompletionResultType]::ParameterName, 'The same table redrawn in place after every round, until q or -c rounds')
            [CompletionResult]::new('--dot', '--dot', [CompletionResultType]::ParameterName, 'A graph for Graphviz: flux trace --paths --dot TARGET | dot -Tsvg')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'One JSON object per line on standard output, also for errors')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object per line on standard output, also for errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on standard error')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on standard error')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('diff', 'diff', [CompletionResultType]::ParameterValue, 'Compare two saved traces; exit 1 where they differ')
            break
        }
        'flux;trace;diff' {
            [CompletionResult]::new('--tolerance', '--tolerance', [CompletionResultType]::ParameterName, 'Ignore growth up to this: of loss in percentage points, of a median RTT in percent')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'One JSON object on standard output, also for errors')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object on standard output, also for errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'flux;bench' {
            [CompletionResult]::new('-I', '-I ', [CompletionResultType]::ParameterName, 'Measure on this interface, by any of its names; the machine at its other end sends')
            [CompletionResult]::new('--interface', '--interface', [CompletionResultType]::ParameterName, 'Measure on this interface, by any of its names; the machine at its other end sends')
            [CompletionResult]::new('--out', '--out', [CompletionResultType]::ParameterName, 'For workload forward: the interface that packets leave by; they come in on that of -I')
            [CompletionResult]::new('--sim', '--sim', [CompletionResultType]::ParameterName, 'Measure on simulated rings; needs no privilege')
            [CompletionResult]::new('--workload', '--workload', [CompletionResultType]::ParameterName, 'What to do with the packets [default: all; with -I all but txonly, and forward only with --out; with --sim all but latency]')
            [CompletionResult]::new('--batch', '--batch', [CompletionResultType]::ParameterName, 'Packets per batch, 1 to 4096 [default: 16,32,64]')
            [CompletionResult]::new('--poll', '--poll', [CompletionResultType]::ParameterName, 'How to wait for packets [default: busy,adaptive,syscall]')
            [CompletionResult]::new('--packet-size', '--packet-size', [CompletionResultType]::ParameterName, 'Bytes of each packet, from the Ethernet header on, 60 to 1514 [default: 60]')
            [CompletionResult]::new('--frame', '--frame', [CompletionResultType]::ParameterName, 'The same with the frame check sequence')
            [CompletionResult]::new('--queue', '--queue', [CompletionResultType]::ParameterName, 'RX queues to open, one thread each [default: 0]')
            [CompletionResult]::new('--hugepages', '--hugepages', [CompletionResultType]::ParameterName, 'Put the UMEM in huge pages [default: off]')
            [CompletionResult]::new('--prefetch', '--prefetch', [CompletionResultType]::ParameterName, 'Prefetch packet headers or not [default: on]')
            [CompletionResult]::new('--mode', '--mode', [CompletionResultType]::ParameterName, 'Modes of the library to measure [default: raw]')
            [CompletionResult]::new('--duration', '--duration', [CompletionResultType]::ParameterName, 'Measured time of one sample, from 1ms on [default: 400ms]')
            [CompletionResult]::new('--repeat', '--repeat', [CompletionResultType]::ParameterName, 'Samples per setting, 1 to 1000 [default: 5]')
            [CompletionResult]::new('--backend', '--backend', [CompletionResultType]::ParameterName, 'What packets are received and sent with [default: auto]')
            [CompletionResult]::new('--tx', '--tx', [CompletionResultType]::ParameterName, 'How packets are sent [default: auto]')
            [CompletionResult]::new('--attach', '--attach', [CompletionResultType]::ParameterName, 'Where the XDP program hooks in [default: auto]')
            [CompletionResult]::new('--bind', '--bind', [CompletionResultType]::ParameterName, 'Copy packets or share memory with the NIC [default: auto]')
            [CompletionResult]::new('--frame-size', '--frame-size', [CompletionResultType]::ParameterName, 'Bytes per frame, 2048 or 4096 (2k or 4k) [default: 2048]')
            [CompletionResult]::new('--link-timeout', '--link-timeout', [CompletionResultType]::ParameterName, 'How long to wait for a link lost during the run; none: for ever [default: 10s; none for a run without end]')
            [CompletionResult]::new('--plot', '--plot', [CompletionResultType]::ParameterName, 'Draw a chart into this file as well')
            [CompletionResult]::new('--save', '--save', [CompletionResultType]::ParameterName, 'Keep the run under this name, for flux bench diff')
            [CompletionResult]::new('--frames', '--frames', [CompletionResultType]::ParameterName, 'UMEM frames over all queues, 16 to 1048576 [default: 4096 for each queue, at most 131072]')
            [CompletionResult]::new('--lab', '--lab', [CompletionResultType]::ParameterName, 'Measure on a veth pair between two network namespaces of its own; as root')
            [CompletionResult]::new('--csv', '--csv', [CompletionResultType]::ParameterName, 'One line per setting, separated by commas, under a line of headings')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'One JSON object per line on standard output, also for errors')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object per line on standard output, also for errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on standard error')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on standard error')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('diff', 'diff', [CompletionResultType]::ParameterValue, 'Compare a saved run with an earlier one; exit 1 where it is slower')
            break
        }
        'flux;bench;diff' {
            [CompletionResult]::new('--tolerance', '--tolerance', [CompletionResultType]::ParameterName, 'Ignore changes up to this share')
            [CompletionResult]::new('--csv', '--csv', [CompletionResultType]::ParameterName, 'One line per setting, separated by commas, under a line of headings')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'One JSON object on standard output, also for errors')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object on standard output, also for errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'flux;rings' {
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'Sockets that this process has open')
            [CompletionResult]::new('--pid', '--pid', [CompletionResultType]::ParameterName, 'Sockets that this process has open')
            [CompletionResult]::new('--queue', '--queue', [CompletionResultType]::ParameterName, 'Sockets on these queues [default: all]')
            [CompletionResult]::new('--source', '--source', [CompletionResultType]::ParameterName, 'How to look [default: auto]')
            [CompletionResult]::new('--over', '--over', [CompletionResultType]::ParameterName, 'Time over which rates and diagnosis are taken; 0 is one look [default: 500ms]')
            [CompletionResult]::new('-w', '-w', [CompletionResultType]::ParameterName, 'Go on, with a sample every so often; 0: every millisecond [default TIME: 1s]')
            [CompletionResult]::new('--watch', '--watch', [CompletionResultType]::ParameterName, 'Go on, with a sample every so often; 0: every millisecond [default TIME: 1s]')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Stop after N samples; without --watch one a second')
            [CompletionResult]::new('--count', '--count', [CompletionResultType]::ParameterName, 'Stop after N samples; without --watch one a second')
            [CompletionResult]::new('--metrics', '--metrics', [CompletionResultType]::ParameterName, 'Serve Prometheus metrics at http://ADDRESS/metrics until Ctrl-C')
            [CompletionResult]::new('--sim', '--sim', [CompletionResultType]::ParameterName, 'Look at simulated sockets; needs no privilege')
            [CompletionResult]::new('--backend', '--backend', [CompletionResultType]::ParameterName, 'What packets are received and sent with [default: auto]')
            [CompletionResult]::new('--tx', '--tx', [CompletionResultType]::ParameterName, 'How packets are sent [default: auto]')
            [CompletionResult]::new('--attach', '--attach', [CompletionResultType]::ParameterName, 'Where the XDP program hooks in [default: auto]')
            [CompletionResult]::new('--bind', '--bind', [CompletionResultType]::ParameterName, 'Copy packets or share memory with the NIC [default: auto]')
            [CompletionResult]::new('--frames', '--frames', [CompletionResultType]::ParameterName, 'UMEM frames over all queues, 16 to 1048576 [default: 4096]')
            [CompletionResult]::new('--frame-size', '--frame-size', [CompletionResultType]::ParameterName, 'Bytes per frame, 2048 or 4096 (2k or 4k) [default: 2048]')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'Sockets on all interfaces in all network namespaces: the default without IFACE')
            [CompletionResult]::new('--live', '--live', [CompletionResultType]::ParameterName, 'Redraw the view in place; needs a terminal')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'One JSON object per sample on standard output, also for errors')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object per sample on standard output, also for errors')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'All of each socket: options, cached indices, XSKMAPs, every counter')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'All of each socket: options, cached indices, XSKMAPs, every counter')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'flux;doctor' {
            [CompletionResult]::new('--sim', '--sim', [CompletionResultType]::ParameterName, 'Examine the simulated machine instead; needs no privilege')
            [CompletionResult]::new('--no-attach', '--no-attach', [CompletionResultType]::ParameterName, 'Attach no program, not even for a moment: some NICs reset their link for it')
            [CompletionResult]::new('-j', '-j', [CompletionResultType]::ParameterName, 'One JSON object on standard output, also for errors')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object on standard output, also for errors')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'flux;completions' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'flux;man' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'flux;help' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
