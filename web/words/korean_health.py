"""Ceph's health codes in plain Korean: the same codes as `cbstorage.wanted.health_words`."""

from collections.abc import Mapping

from cbstorage.wanted.health_words import Words

_WAIT = "방금 생겼다면 할 일이 없습니다. 사본을 만드는 중입니다. 계속되면 빠진 호스트를 되살리세요."
_SPACE = "OSD를 추가하거나(`larva storage osd add`) 필요 없는 것을 지우세요. 휴지통의 볼륨도 공간을 차지합니다."
_PATH = (
    "`larva net alarms`와 `larva net quality`가 경로를 보여 주고, 해당 호스트의 `larva doctor`가 더 자세히 알려 줍니다."
)
_SLOW_IO = f"디스크나 경로가 느립니다. {_PATH}"
_SELF = "저절로 따라잡습니다."
_MDS = "메타데이터 서버를 실행하는 호스트를 시작하세요."
_MGR = Words(
    cause="매니저가 없어 사용량을 세지 못합니다. 볼륨은 매니저 없이도 동작합니다.",
    remedy="저절로 다시 시작됩니다. 그 호스트의 journalctl -u 'ceph-mgr@*'가 끝난 이유를 알려 줍니다.",
)
_SCRUB = Words(cause="오랫동안 사본을 서로 비교하지 않았습니다.", remedy=_SELF)
_PING = Words(cause="OSD들이 서로에게 느리게 응답합니다.", remedy=_PATH)

TABLE: Mapping[str, Words] = {
    "AUTH_INSECURE_GLOBAL_ID_RECLAIM_ALLOWED": Words(
        cause="오래된 클라이언트가 위조할 수 있는 방식으로 로그인할 수 있습니다.",
        remedy="ceph config set mon auth_allow_insecure_global_id_reclaim false",
    ),
    "BLUEFS_SPILLOVER": Words(cause="OSD의 빠른 장치가 메타데이터를 담기에 작습니다.", remedy="동작하지만 느려집니다."),
    "BLUESTORE_SLOW_OP_ALERT": Words(
        cause="디스크가 느리게 응답합니다.", remedy="그 호스트의 디스크를 살펴보고, 계속되면 교체하세요."
    ),
    "CACHE_POOL_NEAR_FULL": Words(cause="캐시가 거의 찼습니다.", remedy=_SPACE),
    "DAEMON_OLD_VERSION": Words(
        cause="호스트마다 Ceph 버전이 다릅니다.", remedy="모든 호스트를 같은 이미지로 맞추세요."
    ),
    "FS_DEGRADED": Words(
        cause="메타데이터 서버를 교체하는 중이라 파일이 기다립니다.",
        remedy="30초 동안은 할 일이 없습니다. 계속되면 스토리지 호스트에서 메타데이터 서버가 실행 중인지 보세요.",
    ),
    "FS_WITH_FAILED_MDS": Words(cause="메타데이터 서버를 잃었고 대기 중인 것이 없어 파일이 기다립니다.", remedy=_MDS),
    "MANY_OBJECTS_PER_PG": Words(
        cause="풀의 배치 그룹이 적습니다.", remedy="동작합니다. 풀이 커지면 배치 그룹이 늘어납니다."
    ),
    "MDS_ALL_DOWN": Words(cause="실행 중인 메타데이터 서버가 없어 파일이 기다립니다.", remedy=_MDS),
    "MDS_CLIENT_LATE_RELEASE": Words(
        cause="한 클라이언트가 다른 곳에서 기다리는 것을 놓지 않아 차단될 수 있습니다.",
        remedy="`larva volume show`가 호스트를 알려 줍니다. 사라진 클라이언트는 몇 분 안에 저절로 차단됩니다.",
    ),
    "MDS_CLIENT_RECALL": Words(
        cause="한 클라이언트가 많은 파일을 기억하고 있습니다.",
        remedy="메타데이터 서버의 메모리가 모자라지 않으면 할 일이 없습니다.",
    ),
    "MDS_INSUFFICIENT_STANDBY": Words(
        cause="대기 중인 메타데이터 서버가 없어, 활성 서버를 잃으면 파일이 멈춥니다.",
        remedy="다른 메타데이터 서버가 있던 호스트를 되살리세요.",
    ),
    "MDS_SLOW_METADATA_IO": Words(cause="메타데이터 서버가 OSD를 오래 기다립니다.", remedy=_SLOW_IO),
    "MDS_SLOW_REQUEST": Words(
        cause="메타데이터 서버에 대한 요청이 오래 걸립니다.", remedy=f"경로가 느리거나 OSD를 잃었습니다. {_PATH}"
    ),
    "MDS_TRIM": Words(cause="메타데이터 서버의 저널이 커집니다.", remedy="저절로 따라잡습니다. OSD가 느립니다."),
    "MGR_DOWN": _MGR,
    "MIRROR_LATE": Words(
        cause="미러가 원본보다 허용된 것보다 많이 뒤처졌습니다.",
        remedy="`larva volume mirrors`가 이유를 알려 줍니다. 원본을 잃었다면: `larva volume promote`.",
    ),
    "MON_CLOCK_SKEW": Words(
        cause="모니터들의 시계가 서로 다릅니다.", remedy="그 호스트의 시각을 맞추세요(`timedatectl`, `larva doctor`)."
    ),
    "MON_DISK_BIG": Words(cause="모니터의 데이터가 커집니다.", remedy="모든 배치 그룹이 정상이 되면 줄어듭니다."),
    "MON_DISK_CRIT": Words(
        cause="모니터의 디스크가 거의 차서 곧 멈춥니다.", remedy="지금 그 호스트의 /var/lib/ceph에 공간을 만드세요."
    ),
    "MON_DISK_LOW": Words(
        cause="모니터의 디스크가 차고 있습니다.", remedy="그 호스트의 /var/lib/ceph에 공간을 만드세요."
    ),
    "MON_DOWN": Words(
        cause="모니터 하나가 빠졌습니다. 나머지는 과반수인 동안 계속합니다.",
        remedy=f"그 호스트를 되살리거나, 무엇이 연결을 끊었는지 보세요. {_PATH}",
    ),
    "MON_NETSPLIT": Words(cause="모니터들이 서로 닿지 않습니다.", remedy=_PATH),
    "NO_MANAGER": _MGR,
    "OBJECT_UNFOUND": Words(
        cause="일부 데이터의 마지막 사본이 빠진 OSD에 있습니다.",
        remedy="그 OSD의 호스트를 되살리세요. 영영 잃은 경우에만: ceph pg PG mark_unfound_lost revert",
    ),
    "OSDMAP_FLAGS": Words(
        cause="누군가 noout처럼 클러스터를 붙잡아 두는 플래그를 설정했습니다.",
        remedy="끝나면 ceph osd unset FLAG를 실행하세요.",
    ),
    "OSD_BACKFILLFULL": Words(cause="OSD가 너무 차서 사본을 받을 수 없습니다.", remedy=_SPACE),
    "OSD_DATACENTER_DOWN": Words(
        cause="한 존의 모든 OSD가 빠졌습니다.", remedy=f"존의 장애라면 여기서 할 일이 없습니다. {_PATH}"
    ),
    "OSD_DOWN": Words(
        cause="OSD가 빠졌습니다. 데이터는 다른 사본에서 제공됩니다.", remedy=f"그 호스트를 되살리세요. {_PATH}"
    ),
    "OSD_FULL": Words(cause="OSD가 가득 차서 아무도 쓸 수 없습니다. 읽기와 지우기는 됩니다.", remedy=_SPACE),
    "OSD_HOST_DOWN": Words(cause="한 호스트의 모든 OSD가 빠졌습니다.", remedy="그 호스트를 되살리세요."),
    "OSD_NEARFULL": Words(cause="OSD가 거의 찼습니다. 10분의 1만 더 차면 아무도 쓸 수 없습니다.", remedy=_SPACE),
    "OSD_OFF_CLADNET": Words(
        cause="OSD가 다른 클라우드에서 닿을 수 없는 주소를 알리고 있습니다.",
        remedy="그 호스트의 larva-storage를 다시 시작하세요. 주소가 틀린 이유는 그곳의 `larva doctor`가 알려 줍니다.",
    ),
    "OSD_REGION_DOWN": Words(
        cause="한 사업자의 모든 OSD가 빠졌습니다.", remedy=f"사업자의 장애라면 여기서 할 일이 없습니다. {_PATH}"
    ),
    "OSD_ZONE_DOWN": Words(
        cause="한 리전의 모든 OSD가 빠졌습니다.", remedy=f"리전의 장애라면 여기서 할 일이 없습니다. {_PATH}"
    ),
    "OSD_SLOW_PING_TIME_BACK": _PING,
    "OSD_SLOW_PING_TIME_FRONT": _PING,
    "PG_AVAILABILITY": Words(
        cause="사본이 너무 적게 남아 일부 데이터에 닿을 수 없습니다.",
        remedy="빠진 OSD의 호스트를 되살리세요. 기다릴 뿐 아무것도 잃지 않았습니다.",
    ),
    "PG_BACKFILL_FULL": Words(cause="OSD가 너무 차서 사본을 만들 수 없습니다.", remedy=_SPACE),
    "PG_DAMAGED": Words(
        cause="일부 데이터의 사본이 서로 다르거나, 디스크가 잘못된 값을 돌려주었습니다.",
        remedy="ceph health detail이 배치 그룹을 알려 줍니다. ceph pg repair PG가 좋은 사본을 택합니다.",
    ),
    "PG_DEGRADED": Words(cause="일부 데이터의 사본이 있어야 할 것보다 적습니다.", remedy=_WAIT),
    "PG_NOT_DEEP_SCRUBBED": _SCRUB,
    "PG_NOT_SCRUBBED": _SCRUB,
    "PG_RECOVERY_FULL": Words(cause="OSD가 너무 차서 사본을 만들 수 없습니다.", remedy=_SPACE),
    "POOL_APP_NOT_ENABLED": Words(
        cause="누군가 풀을 직접 만들었습니다.", remedy="ceph osd pool application enable POOL APPLICATION"
    ),
    "POOL_FULL": Words(cause="OSD가 가득 차서 그 위의 모든 풀에 아무도 쓸 수 없습니다.", remedy=_SPACE),
    "POOL_NEAR_FULL": Words(cause="풀이 거의 찼습니다.", remedy=_SPACE),
    "POOL_NO_REDUNDANCY": Words(
        cause="풀이 사본을 하나만 둡니다. 디스크 하나를 잃으면 데이터를 잃습니다.",
        remedy="스토리지 호스트를 추가하세요. 둘이 되면 사본은 저절로 만들어집니다.",
    ),
    "PROMISE_NOT_KEPT": Words(
        cause="이 볼륨에 약속한 대로 사본이 놓여 있지 않습니다. 지금 있는 장소가 너무 적습니다.",
        remedy="빠진 호스트를 되살리거나 모자란 곳에 스토리지 호스트를 추가하세요. 사본은 저절로 옮겨 갑니다.",
    ),
    "QUORUM_BARELY": Words(
        cause="모니터가 겨우 과반수입니다. 하나 더 잃으면 모두 멈춥니다.", remedy="빠진 모니터의 호스트를 되살리세요."
    ),
    "RECENT_CRASH": Words(
        cause="데몬이 비정상 종료되어 다시 시작되었습니다.",
        remedy="ceph crash ls가 보여 주고, ceph crash archive-all이 이 알림을 끝냅니다.",
    ),
    "SLOW_OPS": Words(
        cause="요청이 오래 기다립니다. 디스크나 경로가 느리거나, 잃은 OSD를 아직 포기하지 않았습니다.",
        remedy=f"손실 뒤 30초 동안은 할 일이 없습니다. {_PATH}",
    ),
    "SLOW_PATHS": Words(
        cause="쓰기가 이 경로들 너머 가장 먼 사본을 기다립니다.",
        remedy=f"사본을 서로 더 가까이 두거나 경로를 고치세요. {_PATH}",
    ),
    "TOO_FEW_OSDS": Words(cause="원하는 사본 수보다 OSD가 적습니다.", remedy="스토리지 호스트나 OSD를 추가하세요."),
    "TOO_FEW_PGS": Words(
        cause="데이터가 고르지 않게 퍼져 있습니다.", remedy="동작합니다. 풀이 커지면 배치 그룹이 늘어납니다."
    ),
    "TOO_MANY_PGS": Words(
        cause="OSD가 많은 배치 그룹을 맡고 있습니다.", remedy="OSD를 추가하거나 쓰지 않는 풀을 지우세요."
    ),
}
