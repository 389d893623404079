"""Sketch: one training loop with the parts to choose from, on Biased-MNIST (paper's f, g) or generated sets (ResNet-18)."""
import sys, json, time, math, os
sys.path.insert(0, '.')
import numpy as np, torch
from torch import nn
from torch.nn import functional as F
import torchvision
from gen import load
from dataset.biased_mnist import build, assign_backgrounds, BACKGROUNDS
from models.feature_extractor import FeatureExtractor
from models.label_classifier import LabelClassifier
torch.set_num_threads(1)
D=dict(set="texture",share=None,rho=.99,seed=0,data_seed=0,epochs=10,batch=32,opt="adam",lr=1e-3,wd=5e-4,sched="cuts",
 gamma=0.,prior=0.,mix=0.,mixkind="lisa",h="none",mu=0.,lam=0.,hcond=0,ramp=0,lrh=1.,hidden=0,affine=0,flip=0,
 n=0,judge="val",bn=1,label_smoothing=0.,ema=0.,note="",val_seeds=4,seed_gen=0,swap=0.,hdraw=1,warm=0,slim=0,mixprior=0,prior_of="eff",hw=0)

class BMnist:
    """pixels normalised to -1..1; mask-based so that affine moves the digit alone (the ground is of one colour)"""
    classes=10; values=10
    def __init__(self,o):
        d=build(o["rho"],o["data_seed"]); tr=d.train
        perm=np.random.RandomState(7).permutation(60000); held,keep=perm[:6000],perm[6000:]
        if o["n"]: keep=keep[:o["n"]]
        if o["share"]==.1:  # ceiling
            b=assign_backgrounds(tr.label,.1,np.random.RandomState(5))
        else: b=tr.bias
        self.mask=torch.from_numpy(tr.mask[keep]); self.y=torch.from_numpy(tr.label[keep]); self.b=torch.from_numpy(b[keep])
        if o["judge"]=="test": m,y,b=d.test.mask,d.test.label,d.test.bias
        else: m,y=tr.mask[held],tr.label[held]; b=assign_backgrounds(y,.1,np.random.RandomState(3))
        self.vm,self.vy,self.vb=map(torch.from_numpy,(m,y,b))
        self.pal=(torch.from_numpy(BACKGROUNDS.astype('f4'))/255-.5)/.5
    def pix(self,m,b):
        bg=self.pal[b][:,:,None,None]; return (bg+m[:,None]*(1-bg)).contiguous(memory_format=torch.channels_last)
    def train(self,i,o,g):
        m=self.mask[i].float()
        if o["affine"]: m=affine(m[:,None],g,"zeros")[:,0]
        return self.pix(m,self.b[i]),self.y[i],self.b[i]
    def val(self):
        for i in torch.arange(len(self.vy)).split(500): yield self.pix(self.vm[i].float(),self.vb[i]),self.vy[i],self.vb[i]
    def net(self): 
        f,g=FeatureExtractor(),LabelClassifier()
        class B(nn.Module):
            def __init__(s): super().__init__(); s.f=f; s.c3=g.conv3; s.c4=g.conv4
            def forward(s,x): return F.relu_(s.c4(F.relu_(s.c3(s.f(x))))).mean((2,3))
        return B(),g.fc,64
class Gen:
    def __init__(self,o):
        self.slim=o["slim"]
        d=load(o["set"],o["share"],o["seed_gen"]); self.x,self.y,self.b=d["train"]
        if o["judge"]=="test": parts=[d["test"]]
        else: parts=[d["val"]]+[load(o["set"],o["share"],100+s)["val"] for s in range(o["val_seeds"]-1)]
        self.vx,self.vy,self.vb=(torch.cat(t) for t in zip(*parts))
        self.classes=int(self.y.max())+1; self.values=int(self.b.max())+1
        self.mean=self.x.float().mean((0,1,2)); self.std=self.x.float().std((0,1,2))
    def norm(self,x): return ((x.float()-self.mean)/self.std).permute(0,3,1,2)
    def train(self,i,o,g):
        x=self.norm(self.x[i])
        if o["flip"]:
            k=torch.rand(len(i),generator=g)<.5; x=torch.where(k[:,None,None,None],x.flip(3),x)
        if o["affine"]: x=affine(x,g,"reflection")
        return x.contiguous(memory_format=torch.channels_last),self.y[i],self.b[i]
    def val(self):
        for i in torch.arange(len(self.vy)).split(200): yield self.norm(self.vx[i]).contiguous(memory_format=torch.channels_last),self.vy[i],self.vb[i]
    def net(self):
        r=torchvision.models.resnet18(num_classes=self.classes) if not self.slim else slim(self.classes); fc=r.fc; c=fc.in_features; r.fc=nn.Identity(); return r,fc,c
def slim(classes,w=24):
    from torchvision.models.resnet import ResNet,BasicBlock
    r=ResNet(BasicBlock,[2,2,2,2],num_classes=classes)
    r.conv1=nn.Conv2d(3,w,7,2,3,bias=False); r.bn1=nn.BatchNorm2d(w); r.inplanes=w
    for k in range(4): setattr(r,f"layer{k+1}",r._make_layer(BasicBlock,w<<k,2,stride=1 if k==0 else 2))
    for m in r.modules():
        if isinstance(m,nn.Conv2d): nn.init.kaiming_normal_(m.weight,mode="fan_out",nonlinearity="relu")
    r.fc=nn.Linear(w*8,classes); return r
def affine(x,g,pad):
    n=len(x); a=(torch.rand(n,generator=g)*2-1)*math.radians(20); s=1+(torch.rand(n,generator=g)*2-1)*.1
    t=(torch.rand(n,2,generator=g)*2-1)*.1*2
    th=torch.stack([torch.stack([a.cos()/s,-a.sin()/s,t[:,0]],1),torch.stack([a.sin()/s,a.cos()/s,t[:,1]],1)],1)
    return F.grid_sample(x,F.affine_grid(th,list(x.shape),align_corners=False),padding_mode=pad,align_corners=False)
class Rev(torch.autograd.Function):
    @staticmethod
    def forward(c,x,mu): c.mu=mu; return x.view_as(x)
    @staticmethod
    def backward(c,g): return -c.mu*g,None
class H(nn.Module):
    def __init__(s,c,K,o,classes):
        super().__init__(); s.cond=o["hcond"]; s.classes=classes
        s.bn=nn.BatchNorm1d(c,affine=False) if o["bn"] else nn.Identity()
        c2=c+(classes if s.cond else 0)
        s.m=nn.Sequential(nn.Linear(c2,o["hidden"]),nn.ReLU(),nn.Linear(o["hidden"],K)) if o["hidden"] else nn.Linear(c2,K)
    def forward(s,z,y):
        z=s.bn(z)
        if s.cond: z=torch.cat([z,F.one_hot(y,s.classes).float()],1)
        return s.m(z)
def groups(y,b,K): return y*K+b
def evaluate(net,fc,d):
    net.eval(); G=d.classes*d.values; n=torch.zeros(G); k=torch.zeros(G)
    with torch.no_grad():
        for x,y,b in d.val():
            ok=(fc(net(x)).argmax(1)==y).float(); i=groups(y,b,d.values)
            n.index_add_(0,i,torch.ones(len(y))); k.index_add_(0,i,ok)
    net.train(); has=n>0; acc=(k/n.clamp(min=1))[has]
    return dict(acc=round(float(k.sum()/n.sum()),4),mean=round(float(acc.mean()),4),worst=round(float(acc.min()),4))
def probe(net,d,o):
    """fresh linear b on frozen pooled features, balanced; closed form by a few hundred steps of LBFGS-like Adam; judged on the hold-out"""
    net.eval(); Z,B,Y=[],[],[]; g=torch.Generator().manual_seed(1)
    with torch.no_grad():
        w=1/torch.bincount(groups(d.y,d.b,d.values)).clamp(min=1)[groups(d.y,d.b,d.values)].float()
        idx=torch.multinomial(w,min(4000,len(d.y)),replacement=True,generator=g)
        for i in idx.split(500):
            x,y,b=d.train(i,dict(o,affine=0,flip=0),g); Z.append(net(x)); B.append(b)
        V,VB=[],[]
        for x,y,b in d.val(): V.append(net(x)); VB.append(b)
    Z,B,V,VB=map(torch.cat,(Z,B,V,VB)); m,s=Z.mean(0),Z.std(0)+1e-6; Z=(Z-m)/s; V=(V-m)/s
    lin=nn.Linear(Z.shape[1],d.values); op=torch.optim.Adam(lin.parameters(),1e-2,weight_decay=1e-3)
    for _ in range(300):
        op.zero_grad(); F.cross_entropy(lin(Z),B).backward(); op.step()
    net.train(); return round(float((lin(V).argmax(1)==VB).float().mean()),4)
def run(**kw):
    o=dict(D); o.update(kw); t0=time.time()
    torch.manual_seed(o["seed"]); g=torch.Generator().manual_seed(o["seed"])
    d=BMnist(o) if o["set"]=="bmnist" else Gen(o)
    net,fc,c=d.net(); net.to(memory_format=torch.channels_last).train(); h=H(c,d.values,o,d.classes)
    N=len(d.y); K=d.values; gr=groups(d.y,d.b,K); cnt=torch.bincount(gr,minlength=d.classes*K).float()
    draw=cnt.clamp(min=1)[gr]**(-o["gamma"]); eff=cnt*cnt.clamp(min=1)**(-o["gamma"])  # effective frequencies as drawn
    pc=cnt if o["prior_of"]=="orig" else eff*len(d.y)/eff.sum()
    table=(pc.view(d.classes,K)+1); logp=(table/table.sum(0)).log().T  # (K, classes)
    W=len(d.y)/(eff.clamp(min=1e-9)*(cnt>0).sum())*eff.sum()/len(d.y); W[cnt==0]=0  # mean 1 over what is drawn
    def hwt(y,b): return W[groups(y,b,K)] if o["hw"] else 1.
    def opt(p,lr): return torch.optim.Adam(p,lr,weight_decay=o["wd"],fused=True) if o["opt"]=="adam" else torch.optim.AdamW(p,lr,weight_decay=o["wd"]) if o["opt"]=="adamw" else torch.optim.SGD(p,lr,momentum=.9,weight_decay=o["wd"])
    op=opt([*net.parameters(),*fc.parameters()],o["lr"]); oph=opt(h.parameters(),o["lr"]*o["lrh"])
    steps=math.ceil(N/o["batch"]); total=steps*o["epochs"]; step=0; hist=[]; e=None
    beta=torch.distributions.Beta(2.,2.)
    for ep in range(o["epochs"]):
        order=torch.multinomial(draw,N,replacement=True,generator=g) if o["gamma"] else torch.randperm(N,generator=g)
        ha=[];la=[]
        for i in order.split(o["batch"]):
            if len(i)<2: continue
            p=step/total; step+=1
            if o["sched"]=="cuts": s=1 if p<.5 else .1 if p<.85 else .01
            elif o["sched"]=="cycle": s=min(p/.2,1)*1.0 if p<.2 else .5*(1+math.cos(math.pi*(p-.2)/.8))
            elif o["sched"]=="cos": s=.5*(1+math.cos(math.pi*p))
            else: s=1
            for q,l in ((op,o["lr"]),(oph,o["lr"]*o["lrh"])): q.param_groups[0]["lr"]=l*s
            x,y,b=d.train(i,o,g); y2,b2,lam=y,b,torch.ones(len(y))
            if o["mix"]:
                kind=torch.rand(1,generator=g).item()<.5
                same=(y[:,None]==y)&(b[:,None]!=b) if kind else (b[:,None]==b)&(y[:,None]!=y)
                has=same.any(1)&(torch.rand(len(y),generator=g)<o["mix"])
                j=torch.multinomial(same.float()+1e-12,1,generator=g)[:,0]
                lam=torch.where(has,beta.sample((len(y),)),1.); y2,b2=y[j],b[j]
                L=lam[:,None,None,None]; x=(L*x+(1-L)*x[j]).contiguous(memory_format=torch.channels_last)
            z=net(x); lo=fc(z); 
            def ce(lo,y,b): return F.cross_entropy(lo+o["prior"]*logp[b] if o["prior"] else lo,y,reduction="none",label_smoothing=o["label_smoothing"])
            
            if o["mixprior"] and o["mix"]:
                q=lo+o["prior"]*(lam[:,None]*logp[b]+(1-lam[:,None])*logp[b2])
                loss=(lam*F.cross_entropy(q,y,reduction="none")+(1-lam)*F.cross_entropy(q,y2,reduction="none")).mean()
            else: loss=(lam*ce(lo,y,b)+(1-lam)*ce(lo,y2,b2)).mean()
            if o["h"]!="none":
                m=o["mu"]*((2/(1+math.exp(-10*p))-1) if o["ramp"] else 1)*(p>=o["warm"])
                zz=Rev.apply(z,m) if o["h"]=="reversal" else z.detach()
                lh=h(zz,y); bl=(hwt(y,b)*lam*F.cross_entropy(lh,b,reduction="none")+hwt(y2,b2)*(1-lam)*F.cross_entropy(lh,b2,reduction="none")).mean()
                loss=loss+bl; ha.append((lh.argmax(1)==torch.where(lam>.5,b,b2)).float().mean().item())
                if o["h"]=="confusion" or o["lam"]:
                    pr={k:v.detach() for k,v in h.named_parameters()}; pr.update({k:v.clone() for k,v in h.named_buffers()})
                    lq=F.log_softmax(torch.func.functional_call(h,pr,(z,y)),1)
                    if o["h"]=="confusion": loss=loss+m*(-lq.mean())
                    if o["lam"]: loss=loss+o["lam"]*(lq.exp()*lq).sum(1).mean()
            op.zero_grad(); oph.zero_grad(); loss.backward(); op.step()
            if o["h"]!="none": oph.step()
            la.append(loss.item())
        e=evaluate(net,fc,d) if ep>=o["epochs"]-1 or (ep+1)%4==0 else e
        hist.append((e["mean"],e["worst"],round(float(np.mean(ha)),3)) if e and ha else (e["mean"],e["worst"]) if e else None)
        if not math.isfinite(la[-1]): break
    r=dict({k:v for k,v in o.items() if v!=D.get(k) or k in("set","seed","epochs")},**e,probe=probe(net,d,o),hist=hist[-6:],sec=round(time.time()-t0,1),cpu=round(time.process_time(),1))
    with open("./results.jsonl","a") as f: f.write(json.dumps(r)+"\n")
    print({k:v for k,v in r.items()},flush=True); return r
if __name__=="__main__":
    for line in sys.stdin:
        if line.strip() and not line.startswith("#"): run(**json.loads(line))
