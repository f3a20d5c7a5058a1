// Measures the machine's network interfaces: what they carried in all, and how fast since the reading before.
package main

import (
	"cmp"
	"fmt"
	"path"
	"strings"
	"time"

	"edgeplug"
	"edgeplug/config"
	"edgeplug/files"
	"edgeplug/lifecycle"
	"edgeplug/log"
	"edgeplug/sensor"
)

// What the manifest asks to read.
const netDev = "/proc/net/dev"

// A machine with containers may have thousands of interfaces; a sample has at most 256 attributes.
const interfacesMax = 64

func init() {
	plugin := &plugin{now: time.Now}
	lifecycle.Export(plugin)
	sensor.Export(plugin)
}

// Never called: the daemon calls what is exported.
func main() {}

type plugin struct {
	now func() time.Time
	// Patterns of interfaces that are left out.
	skip []string
	// The reading before: when it was, and what it said by interface. It has no interface that is gone.
	at   time.Time
	last map[string]counters
	// Whether the log has it that there are too many.
	toldTooMany bool
}

func (p *plugin) Start() error {
	skip, found := config.Get("skip")
	if !found {
		skip = "lo"
	}
	p.skip = strings.Fields(skip)
	for _, pattern := range p.skip {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("config key skip has %q, which is no pattern", pattern)
		}
	}
	return nil
}

func (p *plugin) Sample() ([]edgeplug.Sample, error) {
	text, err := files.Read(netDev)
	if err != nil {
		return nil, err
	}
	interfaces, err := parsed(string(text))
	if err != nil {
		return nil, err
	}
	interfaces = p.chosen(interfaces)
	now := p.now()
	elapsed := now.Sub(p.at)
	var sample edgeplug.Sample
	current := make(map[string]counters, len(interfaces))
	for _, one := range interfaces {
		before, known := p.last[one.name]
		if !known && p.last != nil {
			log.Infof("interface %s is new", one.name)
		}
		if known {
			sample.Add(attribute(one.name), one.since(before, elapsed))
		} else {
			sample.Add(attribute(one.name), one.totals())
		}
		current[one.name] = one.counters
	}
	for name := range p.last {
		if _, there := current[name]; !there {
			log.Warnf("interface %s is gone", name)
		}
	}
	p.at, p.last = now, current
	if len(sample.Values) == 0 {
		return nil, nil
	}
	return []edgeplug.Sample{sample}, nil
}

// Leaves out what the configuration says, and what is too many.
func (p *plugin) chosen(interfaces []networkInterface) []networkInterface {
	kept := interfaces[:0]
	for _, one := range interfaces {
		if !p.skips(one.name) {
			kept = append(kept, one)
		}
	}
	if len(kept) <= interfacesMax {
		p.toldTooMany = false
		return kept
	}
	if !p.toldTooMany {
		log.Warnf("%d interfaces, of which the first %d are measured; config key skip leaves others out",
			len(kept), interfacesMax)
		p.toldTooMany = true
	}
	return kept[:interfacesMax]
}

func (p *plugin) skips(name string) bool {
	for _, pattern := range p.skip {
		if matches, _ := path.Match(pattern, name); matches {
			return true
		}
	}
	return false
}

// An attribute's name in the cloud has letters, digits and underscores.
func attribute(name string) string {
	mapped := strings.Map(func(character rune) rune {
		switch {
		case 'a' <= character && character <= 'z', 'A' <= character && character <= 'Z':
			return character
		case '0' <= character && character <= '9':
			return character
		}
		return '_'
	}, name)
	return cmp.Or(mapped, "_")
}
