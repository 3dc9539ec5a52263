#!/usr/bin/env escript
%% Erlang/OTP: local names and gen_server. The protocol is that of protocol.py.
-mode(compile).
-behaviour(gen_server).
-export([main/1, init/1, handle_call/3, handle_cast/2]).
-define(NAMES, 1000).
-define(CLIENTS, 100).

main(Arguments) ->
    say("version", ["\"OTP ", erlang:system_info(otp_release), "\""]),
    Names = [list_to_atom("service:shard:" ++ integer_to_list(N)) || N <- lists:seq(1, ?NAMES)],
    [start(Name) || Name <- Names],
    {ok, Last} = gen_server:start(?MODULE, none, []),
    {ok, Server} = gen_server:start(?MODULE, Last, []),
    lists:foreach(
        fun(Argument) ->
            case string:split(Argument, "=") of
                [Measure, Count] ->
                    answer(Measure, list_to_integer(Count), Server, list_to_tuple(Names));
                _ ->
                    ok
            end
        end,
        Arguments
    ).

answer(Measure, Count, Server, Names) ->
    Measure =:= "memory" orelse
        measure(Measure, max(Count div 10, ?CLIENTS), Server, Names),
    say(Measure, io_lib:format("~e", [float(measure(Measure, Count, Server, Names))])).

say(Measure, Value) ->
    io:format("{\"measure\": \"~s\", \"value\": ~s}~n", [Measure, Value]).

%% The server

init(Behind) -> {ok, Behind}.

handle_call(get, _From, Behind) ->
    {reply, 0, Behind};
handle_call(pass_on, _From, Behind) ->
    {reply, gen_server:call(Behind, get), Behind};
handle_call(suspend, _From, Behind) ->
    erlang:yield(),
    {reply, 0, Behind}.

handle_cast(_Request, Behind) -> {noreply, Behind}.

start(Name) ->
    {ok, Server} = gen_server:start({local, Name}, ?MODULE, none, []),
    Server.

%% The measures

measure("look-up", Count, _Server, Names) ->
    Chosen = [element(rand:uniform(?NAMES), Names) || _ <- lists:seq(1, Count)],
    timed(Count, fun() -> lists:foreach(fun(Name) -> whereis(Name) end, Chosen) end);
measure("call", Count, Server, _Names) ->
    one_by_one(Count, fun() -> gen_server:call(Server, get) end);
measure("100 clients", Count, Server, _Names) ->
    Each = Count div ?CLIENTS,
    Client = fun() -> times(Each, fun() -> gen_server:call(Server, get) end) end,
    timed(Each * ?CLIENTS, fun() ->
        Monitors = [spawn_monitor(Client) || _ <- lists:seq(1, ?CLIENTS)],
        [receive {'DOWN', Monitor, process, _, normal} -> ok end || {_, Monitor} <- Monitors]
    end);
measure("chain", Count, Server, _Names) ->
    one_by_one(Count, fun() -> gen_server:call(Server, pass_on) end);
measure("suspends", Count, Server, _Names) ->
    one_by_one(Count, fun() -> gen_server:call(Server, suspend) end);
measure("cast", Count, Server, _Names) ->
    timed(Count, fun() ->
        times(Count, fun() -> gen_server:cast(Server, put) end),
        gen_server:call(Server, get, infinity)
    end);
measure("start + stop", Count, _Server, _Names) ->
    one_by_one(Count, fun() ->
        {ok, Server} = gen_server:start(?MODULE, none, []),
        gen_server:stop(Server)
    end);
measure("memory", Count, _Server, _Names) ->
    Before = resident(),
    times(Count, fun() ->
        start(list_to_atom("idle:" ++ integer_to_list(erlang:unique_integer([positive]))))
    end),
    (resident() - Before) / Count.

one_by_one(Count, Work) -> timed(Count, fun() -> times(Count, Work) end).

timed(Count, Work) ->
    Started = erlang:monotonic_time(nanosecond),
    Work(),
    (erlang:monotonic_time(nanosecond) - Started) / Count / 1.0e9.

times(0, _Work) ->
    ok;
times(Count, Work) ->
    Work(),
    times(Count - 1, Work).

resident() ->
    {ok, Status} = file:read_file("/proc/" ++ os:getpid() ++ "/status"),
    {match, [Kilobytes]} =
        re:run(Status, "VmRSS:\\s+([0-9]+)", [{capture, all_but_first, list}]),
    list_to_integer(Kilobytes) * 1024.
