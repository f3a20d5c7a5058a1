package device

import (
	"errors"

	wit "edgeplug/internal/wit/imports/edgeplug_plugin_device"
	"edgeplug/internal/wit_types"
)

func uniqueID() string { return wit.Info().UniqueId }

func connected() bool { return wit.Connected() }

func disconnect() error { return failure(wit.Disconnect()) }

func reconnect() error { return failure(wit.Reconnect()) }

func failure(result wit_types.Result[wit_types.Unit, string]) error {
	if result.IsErr() {
		return errors.New(result.Err())
	}
	return nil
}

func template() *Model {
	told, found := wit.Template().Get()
	if !found {
		return nil
	}
	model := &Model{FrequencyS: told.FrequencyS, Edge: told.Edge}
	for _, one := range told.Attributes {
		attribute := Attribute{Name: one.Name, Kind: Kind(one.Kind), Validity: one.Validity, Tag: one.Tag}
		for _, member := range one.Members {
			attribute.Members = append(attribute.Members, Member{member.Name, Kind(member.Kind), member.Validity})
		}
		model.Attributes = append(model.Attributes, attribute)
	}
	for _, child := range told.Children {
		model.Children = append(model.Children, Child{child.UniqueId, child.Tag})
	}
	for _, setting := range told.Settings {
		model.Settings = append(model.Settings, Setting{setting.Name, Kind(setting.Kind), setting.Validity})
	}
	return model
}
