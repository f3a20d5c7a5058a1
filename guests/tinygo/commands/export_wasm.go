package commands

import (
	"edgeplug/internal/convert"
	wit "edgeplug/internal/wit/imports/edgeplug_plugin_commands"
	"edgeplug/internal/wit_types"
)

func witHandle(command wit.Command) wit_types.Result[wit.Reply, string] {
	if exported == nil {
		panic("the plugin imports edgeplug/commands, but does not call commands.Export in an init function")
	}
	return convert.Reply(exported.Handle(Command{command.Id, command.Text, convert.NameOf(command.Device)}))
}
