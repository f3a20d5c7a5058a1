// Measures how busy the machine is. A plugin to start from.
package main

import (
	"fmt"

	"edgeplug"
	"edgeplug/commands"
	"edgeplug/config"
	"edgeplug/files"
	"edgeplug/lifecycle"
	"edgeplug/log"
	"edgeplug/sensor"
)

// What the manifest asks to read.
const loadavg = "/proc/loadavg"

// Importing the three packages exports their interfaces; this says who answers.
func init() {
	plugin := &plugin{}
	lifecycle.Export(plugin)
	sensor.Export(plugin)
	commands.Export(plugin)
}

// Never called: the daemon calls what is exported.
func main() {}

type plugin struct {
	// From the manifest; readings are multiplied by it.
	factor float64
}

func (p *plugin) Start() (err error) {
	if p.factor, err = config.Float("factor", 1); err != nil {
		return err
	}
	log.Infof("started with a factor of %g", p.factor)
	return nil
}

func (p *plugin) Sample() ([]edgeplug.Sample, error) {
	text, err := files.Read(loadavg)
	if err != nil {
		return nil, err
	}
	var load float64
	if _, err := fmt.Sscan(string(text), &load); err != nil {
		return nil, fmt.Errorf("%s holds no number: %q", loadavg, text)
	}
	return []edgeplug.Sample{edgeplug.NewSample("load", edgeplug.Number(load*p.factor))}, nil
}

func (p *plugin) Handle(command commands.Command) (edgeplug.Reply, error) {
	switch command.Name() {
	case "ping":
		return edgeplug.Done("pong"), nil
	}
	return edgeplug.Failed(fmt.Sprintf("there is no command %q; there is: ping", command.Name())), nil
}
