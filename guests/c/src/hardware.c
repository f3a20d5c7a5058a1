// Buses, lines and ports.
#include "../edgeplug_hardware.h"

static bool answered(bool good, edgeplug_hardware_error_t *error, edgeplug_hardware_error_t *why) {
    if (!good && why != NULL) {
        *why = *error;
    } else if (!good) {
        edgeplug_hardware_error_free(error);
    }
    return good;
}

bool edgeplug_i2c_transaction(const char *bus, uint16_t address, const edgeplug_i2c_operation_t *operations,
                              size_t count, edgeplug_bytes_list_t *answers, edgeplug_hardware_error_t *why) {
    edgeplug_string_t name = edgeplug_view(bus);
    edgeplug_i2c_list_operation_t list = {(edgeplug_i2c_operation_t *)operations, count};
    edgeplug_hardware_error_t error;
    return answered(wit_i2c_transaction(&name, address, &list, answers, &error), &error, why);
}

bool edgeplug_spi_transaction(const char *device, const edgeplug_spi_operation_t *operations, size_t count,
                              edgeplug_bytes_list_t *answers, edgeplug_hardware_error_t *why) {
    edgeplug_string_t name = edgeplug_view(device);
    edgeplug_spi_list_operation_t list = {(edgeplug_spi_operation_t *)operations, count};
    edgeplug_hardware_error_t error;
    return answered(wit_spi_transaction(&name, &list, answers, &error), &error, why);
}

edgeplug_i2c_operation_t edgeplug_i2c_read(uint16_t length) {
    return (edgeplug_i2c_operation_t){.tag = EDGEPLUG_I2C_OPERATION_READ, .val.read = length};
}

edgeplug_i2c_operation_t edgeplug_i2c_write(const void *data, size_t length) {
    edgeplug_bytes_t bytes = {(uint8_t *)data, length};
    return (edgeplug_i2c_operation_t){.tag = EDGEPLUG_I2C_OPERATION_WRITE, .val.write = bytes};
}

edgeplug_spi_operation_t edgeplug_spi_read(uint16_t length) {
    return (edgeplug_spi_operation_t){.tag = EDGEPLUG_SPI_OPERATION_READ, .val.read = length};
}

edgeplug_spi_operation_t edgeplug_spi_write(const void *data, size_t length) {
    edgeplug_bytes_t bytes = {(uint8_t *)data, length};
    return (edgeplug_spi_operation_t){.tag = EDGEPLUG_SPI_OPERATION_WRITE, .val.write = bytes};
}

edgeplug_spi_operation_t edgeplug_spi_transfer(const void *data, size_t length) {
    edgeplug_bytes_t bytes = {(uint8_t *)data, length};
    return (edgeplug_spi_operation_t){.tag = EDGEPLUG_SPI_OPERATION_TRANSFER, .val.transfer = bytes};
}

edgeplug_spi_operation_t edgeplug_spi_delay(uint32_t nanoseconds) {
    return (edgeplug_spi_operation_t){.tag = EDGEPLUG_SPI_OPERATION_DELAY_NS, .val.delay_ns = nanoseconds};
}

bool edgeplug_gpio_read(const char *line, bool *active, edgeplug_hardware_error_t *why) {
    edgeplug_string_t name = edgeplug_view(line);
    edgeplug_hardware_error_t error;
    return answered(wit_gpio_read(&name, active, &error), &error, why);
}

bool edgeplug_gpio_write(const char *line, bool active, edgeplug_hardware_error_t *why) {
    edgeplug_string_t name = edgeplug_view(line);
    edgeplug_hardware_error_t error;
    return answered(wit_gpio_write(&name, active, &error), &error, why);
}

bool edgeplug_gpio_wait(const char *line, edgeplug_gpio_edge_t edge, uint32_t time_ms_max, bool *seen,
                        edgeplug_hardware_error_t *why) {
    edgeplug_string_t name = edgeplug_view(line);
    edgeplug_hardware_error_t error;
    return answered(wit_gpio_wait(&name, edge, time_ms_max, seen, &error), &error, why);
}

bool edgeplug_serial_read(const char *port, uint32_t length, uint32_t time_ms_max, edgeplug_bytes_t *data,
                          edgeplug_hardware_error_t *why) {
    edgeplug_string_t name = edgeplug_view(port);
    edgeplug_hardware_error_t error;
    return answered(wit_serial_read(&name, length, time_ms_max, data, &error), &error, why);
}

bool edgeplug_serial_write(const char *port, const void *data, size_t length, edgeplug_hardware_error_t *why) {
    edgeplug_string_t name = edgeplug_view(port);
    edgeplug_bytes_t bytes = {(uint8_t *)data, length};
    edgeplug_hardware_error_t error;
    return answered(wit_serial_write(&name, &bytes, &error), &error, why);
}

edgeplug_string_t edgeplug_hardware_error_text(edgeplug_hardware_error_t *why) {
    switch (why->tag) {
    case EDGEPLUG_HARDWARE_ERROR_DENIED:
        return why->val.denied;
    case EDGEPLUG_HARDWARE_ERROR_NO_DEVICE:
        return edgeplug_copy("nobody answers at this address");
    case EDGEPLUG_HARDWARE_ERROR_TIMED_OUT:
        return edgeplug_copy("the time is over");
    case EDGEPLUG_HARDWARE_ERROR_TOO_MUCH:
        return why->val.too_much;
    default:
        return why->val.other;
    }
}
