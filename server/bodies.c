/* bodies.c - fields and types of the request bodies that are not container's.
 * Source: Docker Engine API 1.51, NetworkCreate, NetworkConnect, NetworkDisconnect,
 * VolumeCreate, ExecStart. */
#include "bodies.h"

LOCAL_SCHEMA(ipam_config, "network", "IPAMConfig", STRING("Subnet"), STRING("IPRange"), STRING("Gateway"),
             MAP("AuxiliaryAddresses"), MAP("AuxAddress"));
LOCAL_SCHEMA(ipam, "network", "IPAM", STRING("Driver"), MAP("Options"),
             LIST("Config", "[]network.IPAMConfig", &ipam_config));
LOCAL_SCHEMA(config_reference, "network", "ConfigReference", STRING("Network"));

SCHEMA(body_network_create, "network", "CreateRequest", STRING("Name"), BOOL("CheckDuplicate"), STRING("Driver"),
       STRING("Scope"), BOOL_NULL("EnableIPv4"), BOOL_NULL("EnableIPv6"), OBJECT("IPAM", "network.IPAM", &ipam),
       BOOL("Internal"), BOOL("Attachable"), BOOL("Ingress"), BOOL("ConfigOnly"),
       OBJECT("ConfigFrom", "network.ConfigReference", &config_reference), MAP("Options"), MAP("Labels"));
/* EndpointConfig is container's own to read. */
SCHEMA(body_network_connect, "network", "ConnectOptions", STRING("Container"));
SCHEMA(body_network_disconnect, "network", "DisconnectOptions", STRING("Container"), BOOL("Force"));

LOCAL_SCHEMA(cluster_volume, "volume", "ClusterVolumeSpec", STRING("Group"));
SCHEMA(body_volume_create, "volume", "CreateOptions", OBJECT_NULL("ClusterVolumeSpec", "volume.ClusterVolumeSpec", &cluster_volume),
       STRING("Driver"), MAP("DriverOpts"), MAP("Labels"), STRING("Name"));

SCHEMA(body_exec_start, "container", "ExecStartOptions", BOOL("Detach"), BOOL("Tty"),
       {"ConsoleSize", T_BOX, D_OMIT, "[2]uint", NULL});
