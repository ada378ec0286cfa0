/*
 * protocol: what crid and a pod's shim say to each other (frames: rpc/chan.h).
 *
 * crid spawns `shim --id ID ...` with one end of a socket pair as fd 3; a crid
 * that was started again connects to <state>/pods/<id>/shim.sock. Any number
 * of connections may be open. Members of the JSON objects:
 *
 * request "pod.run" (once, the first one); blob: crid's own record of the pod,
 * which it has written to <root>/pods/<id>/config, to be kept in case that is lost
 *	namespace name uid attempt hostname log_directory handler cgroup_parent
 *	dns {servers [] searches [] options []}, absent: the host's resolv.conf
 *	ports [{protocol container_port host_port host_ip}]
 *	ns {network "pod"|"node", pid "pod"|"container"|"node", ipc "pod"|"node",
 *	    user {uids [{container host size}], gids [...]} or absent}
 *	sysctls {name: value}, annotations {}, privileged
 *	cni {conf_dir bin_dirs cache_dir subnet builtin "auto"|"never"}
 *	created_at (ns since 1970)
 *	-> {"pod": POD}
 * request "pod.sync" {restore} -> {"pod": POD, "containers": [CTR...]}, blob: as of
 *	pod.run; the connection then gets events (the one on fd 3 gets them from the
 *	start). restore: the shim writes its records anew, some are damaged
 * request "pod.stop" -> {"pod": POD}; kills the containers, takes the network down
 * request "pod.usage" -> {interfaces [{name rx_bytes rx_errors tx_bytes tx_errors}]
 *	disks [{id bytes inodes}]}: of the pod's own network, and of what its containers
 *	have written
 * request "pod.remove" -> {}; the shim removes the records and ends
 *
 * request "ctr.create"; blob: crid's record of the container, kept as above
 *	id, pod, created_at, log_path (absolute, may be ""), tty stdin stdin_once
 *	layers [chain ids, lowest first], layer_paths [absolute paths of the same]
 *	raw_env [{key value}]: environment that JSON cannot hold, values in base64
 *	spec {runtime-spec config}, seccomp "default" | path | absent
 *	devices [{path host_path permissions}], host_devices (all of them)
 *	user {username uid gid groups [] strict image_user}, stop_signal (number)
 *	meta {} (crid's; comes back in CTR)
 *	-> {"container": CTR}
 * request "ctr.start" {id} -> {"container": CTR}
 * request "ctr.stop" {id timeout (s)} -> {"container": CTR}
 * request "ctr.remove" {id} -> {}
 * request "ctr.update" {id resources {runtime-spec's}} -> {}; of one that has not
 *	started they count when it does
 * request "ctr.reopen_log" {id} -> {}
 * request "ctr.exec_sync" {id cmd [] timeout (s, 0: none)}
 *	-> {exit_code stdout (bytes) stderr (bytes)}, blob: stdout, then stderr
 * request "ctr.exec_cancel" {serial}: kills the exec_sync of that serial, which then
 *	answers; no answer of its own
 * request "ctr.exec" {id cmd [] tty stdin stdout stderr}, fd: the client's TCP
 *	socket, blob: what was read from it -> {}; the shim answers the client
 *
 * event "pod" {"pod": POD}, event "container" {"container": CTR},
 * event "removed" {"id"}: a container is gone; {code message} too if it could not be
 *	made
 *
 * POD is {id state "new"|"ready"|"notready" created_at ips [] netns pause_pid
 * shim_pid shim_start boot_id cgroup ns {network pid ipc user}}.
 * CTR is {id pod state "created"|"running"|"exited"|"unknown" created_at
 * started_at finished_at pid exit_code reason message log_path
 * user {uid gid groups []} boot_id meta}, and "creating": true while it is made.
 * "unseen": true: it was made when nobody was there any more to be told.
 * Both are what <root>/pods/<id>/state and <root>/containers/<id>/state hold.
 */
#ifndef SHIM_PROTOCOL_H
#define SHIM_PROTOCOL_H

/* Kinds of records, and the files below pods/<id> and containers/<id>. */
#define SHIM_KIND_POD_STATE "pod-state"
#define SHIM_KIND_CTR_STATE "container-state"
#define SHIM_KIND_CONFIG "config"
#define SHIM_KIND_SPEC "container"
#define SHIM_FILE_STATE "state"
#define SHIM_FILE_CONFIG "config"
#define SHIM_FILE_SPEC "record" /* the ctr.create request; the store reads its layers */

enum {
	SHIM_EXEC_MAX = 16 << 20, /* bytes of each stream of an exec_sync */
	SHIM_RECORD_MAX = 20 << 20
};

#endif
