/*
 * systemd: the cgroup driver for hosts where systemd owns the control groups: a container's
 * group is a scope that systemd makes (systemd's D-Bus interface,
 * org.freedesktop.systemd1(5); "Control Group APIs and Delegation").
 *
 *	systemd_unit_parse()	cgroupsPath "slice:prefix:name" to a unit's name
 *	systemd_open()		a connection to the system's or the user's manager
 *	systemd_start()		makes the unit with its limits; tells its group
 *	systemd_update()	changes limits
 *	systemd_stop()		ends the unit
 *
 * What systemd has no property for is written to the group's files by resources_apply()
 * afterwards, as with a group of our own: the scope is delegated. All calls wait, but not
 * for ever: ERR_TIMEOUT. Errors name the unit.
 */
#ifndef CGROUP_SYSTEMD_H
#define CGROUP_SYSTEMD_H

#include "cgroup/cgroup.h"

struct systemd;

/* A transient unit. */
struct systemd_unit {
	const char *name;  /* "runc-ID.scope"; a slice for a name that ends in ".slice" */
	const char *slice; /* that it is in */
};

/*
 * "slice:prefix:name" as runc and crun have it; absent parts are system.slice (user: of
 * the user's manager, user.slice), "runc" and the container's id. What cannot be in a
 * unit's name is escaped as systemd-escape(1) does. The strings lie in the arena. 0 or -1
 * with ERR_INVALID.
 */
int systemd_unit_parse(const char *cgroups_path, const char *id, bool user,
		       struct arena *a, struct systemd_unit *ret, struct err *err);

/* The path of a slice: "/a.slice/a-b.slice" for "a-b.slice". Caller frees; NULL: it is none. */
char *systemd_slice_path(const char *slice, struct err *err);

/* True if systemd is the host's service manager (sd_booted(3)). */
bool systemd_booted(void);

/*
 * Connects to the manager of the system (its private socket, or the system's bus) or of
 * the user ($XDG_RUNTIME_DIR, $DBUS_SESSION_BUS_ADDRESS). Heap-allocated; NULL on failure:
 * ERR_UNAVAILABLE, with what was tried.
 */
struct systemd *systemd_open(bool user, struct err *err);
void systemd_free(struct systemd *s);

/* A property that a container's annotation org.systemd.property.NAME sets. */
struct systemd_property {
	const char *name;
	const char *value; /* GVariant text: uint64 5, 'text', true, ['a', 'b'] */
};

/* What systemd_start makes. */
struct systemd_start {
	struct systemd_unit unit;
	const char *description;
	const struct resources *resources; /* NULL: no limits */
	bool v2;			   /* of the host: which properties there are */
	const struct systemd_property *properties;
	size_t nproperties;
};

/*
 * Starts the unit and waits until it is there. A scope needs a process: it is a child that
 * does nothing and dies with us, which *ret_holder (a pidfd; -1 for a slice) is for. The
 * caller moves the container's process into the group, and then calls systemd_release().
 * A failed unit of this name is reset. *ret_group is the unit's path in the hierarchy; the
 * caller frees it. ERR_EXISTS: there is such a unit. 0 or -1.
 */
int systemd_start(struct systemd *s, const struct systemd_start *how, char **ret_group,
		  int *ret_holder, struct err *err);

/* Ends what systemd_start left in the scope; waits for it. */
void systemd_release(int *holder);

/* Moves a process into the unit's group, for callers that have no right to. 0 or -1. */
int systemd_attach(struct systemd *s, const char *unit, pid_t pid, struct err *err);

/*
 * The properties of limits that r has are changed, until the unit ends. To the files of
 * its group, which is at path, resources_update() writes afterwards. 0 or -1.
 */
int systemd_update(struct systemd *s, const char *unit, const struct cgroups *g,
		   const char *path, const struct resources *r, struct err *err);

/*
 * The path of the unit's group, which the manager knows: it may lie below the user's.
 * Caller frees; NULL: there is no such unit, or it is not active.
 */
char *systemd_group(struct systemd *s, const char *unit, struct err *err);

/* Stops the unit, which kills what is in it, and forgets it. A missing one is success. */
int systemd_stop(struct systemd *s, const char *unit, struct err *err);

#endif
